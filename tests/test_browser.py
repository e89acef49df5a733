"""The chat in a real browser: headless Chromium. Nothing here sleeps, all wait for the page."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from browser import find_chromium, launch
from machine import skip_unless
from playwright.sync_api import Browser, BrowserContext, Page, WebSocketRoute, expect

from wspy.cli.chat import Limits, make_server
from wspy.thread import ServerThread

PHONE = {"width": 360, "height": 640}
# What Chromium says when the server is away.
EXPECTED = re.compile(r"WebSocket connection to .* failed|ERR_CONNECTION_REFUSED|ERR_INTERNET")

expect.set_options(timeout=20_000)


class House:
    """A chat server that can be stopped and started again, and the people before their browsers."""

    def __init__(self, browser: Browser, limits: Limits | None = None) -> None:
        self.browser = browser
        self.limits = limits
        self.contexts: list[BrowserContext] = []
        self.errors: list[str] = []
        self.port = 0
        self.thread: ServerThread | None = None
        self.start()

    def start(self) -> None:
        server = make_server("127.0.0.1", self.port, limits=self.limits)
        self.port = server.port
        self.thread = server.start_in_thread()

    def stop(self) -> None:
        if self.thread is not None:
            self.thread.stop()
        self.thread = None

    def url(self, room: str = "") -> str:
        return f"http://127.0.0.1:{self.port}/{'#' + room if room else ''}"

    def page(self, name: str = "", room: str = "", **options: Any) -> Page:
        """Somebody at a machine of their own, in the room, who has given a name (or has not)."""
        context = self.browser.new_context(**options)
        self.contexts.append(context)
        if name:
            value = json.dumps(json.dumps(name))
            context.add_init_script(
                f"localStorage.getItem('wspy-chat-name') ?? "
                f"localStorage.setItem('wspy-chat-name', {value})"
            )
        page = context.new_page()
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self.note)
        page.goto(self.url(room))
        return page

    def person(self, name: str = "", room: str = "", **options: Any) -> Page:
        """The same, and the server has let them in."""
        page = self.page(name, room, **options)
        is_in(page)
        return page

    def note(self, message: Any) -> None:
        if message.type in ("error", "warning") and not EXPECTED.search(message.text):
            self.errors.append(message.text)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    skip_unless(find_chromium() is not None, "there is no Chromium here: install chromium")
    with launch() as browser:
        yield browser


MakeHouse = Callable[..., House]


@pytest.fixture
def make_house(browser: Browser) -> Iterator[MakeHouse]:
    houses: list[House] = []

    def make(**limits: Any) -> House:
        houses.append(House(browser, Limits(**limits)))
        return houses[-1]

    yield make
    for house in houses:
        for context in house.contexts:
            context.close()
        house.stop()
        # No error of a script, and nothing that the Content-Security-Policy had to refuse.
        assert house.errors == []


@pytest.fixture
def house(make_house: MakeHouse) -> House:
    return make_house()


def is_in(page: Page) -> None:
    expect(page.locator("#state")).to_have_text("connected")


def say(page: Page, text: str) -> None:
    page.locator("#text").fill(text)
    page.locator("#text").press("Enter")


def has_said(page: Page, *texts: str) -> None:
    """The page shows these messages, each once, in this order, and none waits."""
    expect(page.locator("#lines .text")).to_have_text(list(texts))
    expect(page.locator("#waiting li")).to_have_count(0)


def has_people(page: Page, *names: str) -> None:
    expect(page.locator("#people bdi")).to_have_text(list(names))


def has_notices(page: Page, *texts: str) -> None:
    expect(page.locator("#lines .notice")).to_have_text(list(texts))


# -- talking --


def test_two_people_chat(house: House) -> None:
    ann, bob = house.person("Ann"), house.person("Bob")
    has_people(ann, "Ann", "Bob")
    has_people(bob, "Ann", "Bob")
    has_notices(ann, "Bob came")
    say(ann, "Hello Bob")
    has_said(bob, "Hello Bob")
    say(bob, "Hello Ann")
    for page in (ann, bob):
        has_said(page, "Hello Bob", "Hello Ann")
        expect(page.locator("#lines .author")).to_have_text(["Ann", "Bob"])
    expect(ann.locator("#lines .mine .text")).to_have_text(["Hello Bob"])
    expect(bob.locator("#lines .mine .text")).to_have_text(["Hello Ann"])
    time = ann.locator("#lines time").first
    expect(time).to_have_attribute("datetime", re.compile(r"^\d{4}-\d\d-\d\dT[\d:.]+Z$"))
    expect(time).to_have_text(re.compile(r"\d\d:\d\d"))
    bob.close()
    has_people(ann, "Ann")
    has_notices(ann, "Bob came", "Bob left")


def test_a_page_that_is_reloaded_sees_the_history(house: House) -> None:
    ann, bob = house.person("Ann"), house.person("Bob")
    say(ann, "one")
    has_said(bob, "one")
    say(bob, "two")
    has_said(ann, "one", "two")
    ann.reload()
    is_in(ann)
    has_said(ann, "one", "two")
    expect(ann.locator("#lines .mine .text")).to_have_text(["one"])
    has_people(ann, "Ann", "Bob")
    has_notices(bob, "Ann is back")
    say(bob, "three")
    has_said(ann, "one", "two", "three")


def test_the_server_is_stopped_and_started_again(house: House) -> None:
    ann, bob = house.person("Ann"), house.person("Bob")
    say(ann, "before")
    has_said(bob, "before")
    house.stop()
    for page in (ann, bob):
        expect(page.locator("#state")).not_to_have_text("connected")
        expect(page.locator("#retry")).to_be_visible()
    for number in range(3):
        say(ann, f"ann {number}")
        say(bob, f"bob {number}")
    waiting = [f"ann {number}waits for the connection" for number in range(3)]
    expect(ann.locator("#waiting li")).to_have_text(waiting)
    house.start()
    for page in (ann, bob):
        is_in(page)
        expect(page.locator("#lines .text")).to_have_count(7)
        expect(page.locator("#waiting li")).to_have_count(0)
    orders = [page.locator("#lines .text").all_text_contents() for page in (ann, bob)]
    for order in orders:
        assert order[0] == "before"
        assert [text for text in order if "ann" in text] == ["ann 0", "ann 1", "ann 2"]
        assert [text for text in order if "bob" in text] == ["bob 0", "bob 1", "bob 2"]
    has_people(ann, "Ann", "Bob")
    say(ann, "after")
    expect(bob.locator("#lines .text").last).to_have_text("after")
    expect(bob.locator("#lines .text")).to_have_count(8)


def test_a_lost_acknowledgement_neither_loses_nor_doubles(house: House) -> None:
    ann, bob = house.page("Ann"), house.person("Bob")
    drops = iter(["message", "ack"])  # what is lost together with the first and second connection
    routes: list[WebSocketRoute] = []

    def route(page_side: WebSocketRoute) -> None:
        routes.append(page_side)
        server_side = page_side.connect_to_server()
        lost = next(drops, None)
        gone = False

        def to_page(message: str | bytes) -> None:
            nonlocal gone
            event = json.loads(message)
            if event["type"] == lost and event.get("name", "Ann") == "Ann":
                gone = True
                server_side.close()
                page_side.close(code=1012)
            elif not gone:
                page_side.send(message)

        # What was under way when the connection was lost is lost as well: Chromium complains of a
        # message that is given to a socket behind its close.
        def to_server(message: str | bytes) -> None:
            if not gone:
                server_side.send(message)

        server_side.on_message(to_page)
        page_side.on_message(to_server)

    ann.route_web_socket(re.compile("."), route)
    ann.reload()
    is_in(ann)
    say(ann, "one")
    say(ann, "two")
    has_said(ann, "one", "two")
    has_said(bob, "one", "two")
    assert len(routes) == 3
    expect(ann.locator("#lines .mine")).to_have_count(2)


def test_what_waits_survives_a_reload(house: House) -> None:
    ann, bob = house.page("Ann"), house.person("Bob")
    broken = True

    def route(page_side: WebSocketRoute) -> None:
        if broken:
            page_side.close(code=1012)
        else:
            page_side.connect_to_server()

    ann.route_web_socket(re.compile("."), route)
    ann.reload()
    say(ann, "one")
    say(ann, "two")
    ann.reload()
    expect(ann.locator("#waiting .text")).to_have_text(["one", "two"])
    broken = False
    has_said(ann, "one", "two")
    has_said(bob, "one", "two")


def test_what_is_typed_too_fast_arrives_later(make_house: MakeHouse) -> None:
    house = make_house(burst=4, rate=20)
    ann, bob = house.person("Ann"), house.person("Bob")
    texts = [str(number) for number in range(12)]
    for text in texts:
        say(ann, text)
    has_said(ann, *texts)
    has_said(bob, *texts)


def test_who_is_typing(house: House) -> None:
    ann, bob, eve = house.person("Ann"), house.person("Bob"), house.person("Eve")
    ann.locator("#text").press_sequentially("h")
    expect(bob.locator("#typing")).to_have_text("Ann is typing…")
    bob.locator("#text").press_sequentially("h")
    expect(eve.locator("#typing")).to_have_text("Ann and Bob are typing…")
    expect(ann.locator("#typing")).to_have_text("Bob is typing…")
    ann.locator("#text").press("Enter")
    expect(eve.locator("#typing")).to_have_text("Bob is typing…")
    expect(bob.locator("#typing")).to_be_empty()
    bob.close()
    expect(eve.locator("#typing")).to_be_empty()


def test_unread_messages_are_counted_in_the_title(house: House) -> None:
    ann, bob = house.person("Ann"), house.person("Bob")
    expect(ann).to_have_title("lobby · wspy chat")
    # Playwright keeps every page in front: this is what another tab in front does.
    ann.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
    say(bob, "one")
    expect(ann).to_have_title("(1) lobby · wspy chat")
    say(bob, "two")
    expect(ann).to_have_title("(2) lobby · wspy chat")
    ann.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    expect(ann).to_have_title("lobby · wspy chat")
    say(bob, "three")
    has_said(ann, "one", "two", "three")
    expect(ann).to_have_title("lobby · wspy chat")


# -- names and rooms --


def test_a_name_is_asked_for_politely(house: House) -> None:
    ann, bob = house.person(), house.person()
    has_people(ann, "guest 1", "guest 2")
    expect(ann.locator("#text")).to_be_focused()  # it can be ignored
    ann.get_by_label("What may we call you?").fill("Ann")
    ann.get_by_role("button", name="Save").click()
    expect(ann.locator("#ask")).to_be_hidden()
    has_people(bob, "Ann", "guest 2")
    has_notices(bob, "guest 1 is now Ann")
    bob.get_by_role("button", name="Not now").click()
    for page in (ann, bob):
        page.reload()
        is_in(page)
        expect(page.locator("#ask")).to_be_hidden()
    expect(ann.locator("#me")).to_have_text("Ann")
    expect(bob.locator("#me")).to_have_text(re.compile(r"^guest \d$"))
    bob.get_by_role("button", name="Change name").click()
    bob.get_by_label("What may we call you?").fill("ann")
    bob.keyboard.press("Enter")
    has_people(ann, "Ann", "ann (2)")


def test_the_room_is_in_the_address(house: House) -> None:
    ann, bob = house.person("Ann", "tea"), house.person("Bob", "tea")
    say(ann, "in tea")
    has_said(bob, "in tea")
    bob.get_by_label("Another room").fill("Café 1")
    bob.keyboard.press("Enter")
    expect(bob.locator("h1")).to_have_text("café 1")
    expect(bob).to_have_title("café 1 · wspy chat")
    assert bob.evaluate("location.hash") == "#caf%C3%A9%201"
    has_people(ann, "Ann")
    has_people(bob, "Bob")
    has_said(bob)
    expect(bob.get_by_text("Nobody has said anything here yet.")).to_be_visible()
    say(bob, "in café")
    has_said(bob, "in café")
    bob.reload()
    has_said(bob, "in café")
    bob.go_back()
    has_said(bob, "in tea")
    has_people(bob, "Ann", "Bob")
    bob.locator("#rooms").get_by_role("link", name="café 1").click()
    has_said(bob, "in café")
    expect(bob.locator("#rooms [aria-current]")).to_have_text("café 1")
    has_said(ann, "in tea")


def test_what_was_typed_for_another_room_waits_for_it(house: House) -> None:
    ann, bob = house.person("Ann", "tea"), house.person("Bob", "tea")
    house.stop()
    expect(ann.locator("#state")).not_to_have_text("connected")
    say(ann, "for tea")
    ann.goto(house.url("coffee"))
    expect(ann.locator("#elsewhere")).to_contain_text("waits for you to come back to tea")
    house.start()
    is_in(ann)
    is_in(bob)
    has_said(ann)
    ann.locator("#elsewhere a").click()
    has_said(ann, "for tea")
    has_said(bob, "for tea")
    expect(ann.locator("#elsewhere")).to_be_hidden()


# -- hostile people --

SCRIPT = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"


def test_a_hostile_name_and_message_stay_text(house: House) -> None:
    name = "<img src=x onerror=hacked=1>\u202e"
    eve, ann = house.person(name), house.person("Ann")
    shown = "<img src=x onerror=hacked=1>"
    has_people(ann, shown, "Ann")
    say(eve, SCRIPT)
    has_said(ann, SCRIPT)
    expect(ann.locator("#lines .author")).to_have_text([shown])
    say(eve, "photo_\u202egnp.exe \u2066\x07")
    has_said(ann, SCRIPT, "photo_gnp.exe \u2407")
    eve.locator("#text").press_sequentially("x")
    expect(ann.locator("#typing")).to_have_text(f"{shown} is typing…")
    eve.close()
    expect(ann.locator("#lines .notice")).to_have_text([f"{shown} left"])
    assert ann.evaluate("window.hacked") is None
    assert ann.locator("img, #log script").count() == 0


def test_text_of_the_other_direction_is_isolated(house: House) -> None:
    eve, ann = house.person("\u05d0\u05d1\u05d2"), house.person("Ann")
    say(eve, "\u05e9\u05dc\u05d5\u05dd 123")
    has_said(ann, "\u05e9\u05dc\u05d5\u05dd 123")
    text = ann.locator("#lines .text")
    assert text.evaluate("e => [getComputedStyle(e).unicodeBidi, getComputedStyle(e).direction]") == [
        "isolate", "rtl",
    ]  # fmt: skip
    name = ann.locator("#lines .author bdi")
    assert name.evaluate("e => getComputedStyle(e).unicodeBidi") == "isolate"


def test_a_hostile_room_name_stays_text(house: House) -> None:
    ann = house.person("Ann", "%3Cimg src=x onerror=hacked=1%3E")
    expect(ann.locator("h1")).to_have_text("<img src=x onerror=hacked=1>")
    assert ann.evaluate("window.hacked") is None
    bob = house.person("Bob", "%E0%A4%A")  # not an address at all
    expect(bob.locator("h1")).to_have_text("lobby")


@pytest.mark.parametrize(
    ("text", "links"),
    [
        ("see https://example.com/a?b=c#d.", ["https://example.com/a?b=c#d"]),
        ("(http://a.example/x_(y)) and http://b.example!", ["http://a.example/x_(y)", "http://b.example"]),
        ("HTTPS://EXAMPLE.COM/A", ["HTTPS://EXAMPLE.COM/A"]),
        ('https://a.example/"onclick="x()', ["https://a.example/"]),
        ("https://a.example/<b>x", ["https://a.example/"]),
        ("javascript:alert(1) data:text/html,x ftp://a.example www.example.com", []),
        ("https:// http://? https://[", []),
    ],
)  # fmt: skip
def test_links(house: House, text: str, links: list[str]) -> None:
    ann, bob = house.person("Ann"), house.person("Bob")
    say(bob, text)
    has_said(ann, text)
    found = ann.locator("#lines a")
    assert found.all_text_contents() == links
    for link in found.all():
        assert link.get_attribute("rel") == "noopener noreferrer"
        assert link.get_attribute("target") == "_blank"
        assert re.match(r"https?://", link.get_attribute("href") or "")


# -- how it can be used --


def test_it_works_by_keyboard_alone(house: House) -> None:
    ann, bob = house.person(), house.person("Bob")
    expect(ann.locator("#text")).to_be_focused()
    ann.keyboard.type("first line")
    ann.keyboard.press("Shift+Enter")
    ann.keyboard.type("second line")
    ann.keyboard.press("Enter")
    expect(bob.locator("#lines .text")).to_have_text("first line\nsecond line", use_inner_text=True)
    expect(ann.locator("#text")).to_be_focused()
    expect(ann.locator("#text")).to_have_value("")
    ann.keyboard.press("Enter")  # nothing to say
    for wanted in ("later", None, "name"):  # backwards from the field: Not now, Save, the name
        ann.keyboard.press("Shift+Tab")
        if wanted:
            expect(ann.locator(f"#{wanted}")).to_be_focused()
    ann.keyboard.type("Ann")
    ann.keyboard.press("Enter")
    has_people(bob, "Ann", "Bob")
    expect(ann.locator("#text")).to_be_focused()
    seen = set()
    for _ in range(12):
        ann.keyboard.press("Tab")
        seen.add(ann.evaluate("document.activeElement.id || document.activeElement.textContent"))
    assert {"theme", "log", "text", "Send", "room", "Go", "rename", "lobby"} <= seen


def test_screen_readers_are_told(house: House) -> None:
    ann = house.person("Ann")
    log = ann.get_by_role("log", name="Messages")
    expect(log).to_have_attribute("aria-live", "polite")
    expect(log).not_to_have_attribute("aria-busy", "true")
    expect(ann.get_by_role("status")).to_have_text("connected")
    expect(ann.get_by_role("textbox", name="Message")).to_be_visible()
    expect(ann.get_by_role("list", name="Here")).to_be_visible()
    expect(ann.get_by_role("button", name="Dark colours")).to_be_visible()


def test_a_phone(house: House) -> None:
    bob = house.person("Bob")
    say(bob, "a-very-long-word-" * 30 + " https://example.com/" + "x" * 200)
    ann = house.person("Ann", viewport=PHONE, has_touch=True, is_mobile=True)
    expect(ann.locator("#lines .text")).to_have_count(1)
    fits = "document.documentElement.scrollWidth <= innerWidth"
    assert ann.evaluate(fits)
    assert ann.evaluate("log.scrollWidth <= log.clientWidth")
    for element in ("#text", "#compose button", "#menu", "#theme", "#state"):
        expect(ann.locator(element)).to_be_in_viewport(ratio=1)
    expect(ann.locator("#people")).to_be_hidden()
    ann.locator("#menu").tap()
    expect(ann.locator("#menu")).to_have_attribute("aria-expanded", "true")
    expect(ann.locator("#people")).to_be_in_viewport()
    assert ann.evaluate(fits)
    ann.keyboard.press("Escape")
    expect(ann.locator("#people")).to_be_hidden()
    expect(ann.locator("#menu")).to_be_focused()
    ann.locator("#text").tap()
    ann.keyboard.type("hello")
    ann.locator("#compose button").tap()
    expect(bob.locator("#lines .text").last).to_have_text("hello")


def test_dark_and_light(house: House) -> None:
    def is_dark(page: Page) -> Any:
        return page.evaluate(
            "parseInt(getComputedStyle(document.body).backgroundColor.match(/\\d+/)) < 128"
        )

    ann = house.person("Ann", color_scheme="dark")
    button = ann.get_by_role("button", name="Dark colours")
    assert is_dark(ann)
    expect(button).to_have_attribute("aria-pressed", "true")
    ann.emulate_media(color_scheme="light")
    assert not is_dark(ann)
    expect(button).to_have_attribute("aria-pressed", "false")
    button.click()
    assert is_dark(ann)
    expect(button).to_have_attribute("aria-pressed", "true")
    ann.reload()
    assert is_dark(ann)
    button.click()  # what the system has: followed again
    assert not is_dark(ann)
    ann.emulate_media(color_scheme="dark")
    assert is_dark(ann)


def test_the_state_says_offline_without_a_network(house: House) -> None:
    ann = house.person("Ann")
    house.stop()
    expect(ann.locator("#state")).to_have_attribute("data-state", re.compile("trying|offline"))
    ann.context.set_offline(True)
    expect(ann.locator("#state")).to_have_text("offline")
    house.start()
    ann.context.set_offline(False)
    is_in(ann)


def test_a_full_room_is_told_and_tried_again(make_house: MakeHouse) -> None:
    house = make_house(people=1)
    ann, bob = house.person("Ann"), house.page("Bob")
    expect(bob.locator("#state")).to_have_text("this room is full")
    ann.close()
    # Not click(), which waits for a button that is gone once the page has tried by itself.
    bob.locator("#retry").dispatch_event("click")
    is_in(bob)
    has_people(bob, "Bob")


def test_new_messages_below_what_is_read(make_house: MakeHouse) -> None:
    house = make_house(burst=1000)
    ann, bob = house.person("Ann"), house.person("Bob")
    for number in range(20):
        say(bob, f"line {number}\nand\nmore")
    expect(ann.locator("#lines .text")).to_have_count(20)
    at_end = "log.scrollHeight - log.scrollTop - log.clientHeight < 60"
    assert ann.evaluate(at_end)
    ann.locator("#log").evaluate("log => log.scrollTop = 0")
    say(bob, "the last")
    newer = ann.get_by_role("button", name="New messages")
    newer.click()
    expect(newer).to_be_hidden()
    assert ann.evaluate(at_end)

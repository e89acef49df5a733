"""The chat's server, over its wire format (docs/chat.md), with clients of another library."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from support import ROOT
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

import wspy
from wspy.cli.chat.limits import Bucket, Limits
from wspy.cli.chat.server import Chat
from wspy.cli.chat.wire import message_id
from wspy.cli.chat.words import clean_name, clean_text, skeleton

NOW = 1_767_225_600.125  # what the chat's clock says
TIMEOUT = 20


class Client:
    """Somebody who speaks the wire format."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.keys = 0

    def send(self, **event: object) -> None:
        self.socket.send(json.dumps(event))

    def get(self) -> Any:
        return json.loads(self.socket.recv(timeout=TIMEOUT))

    def join(self, room: str = "", name: str = "", **more: str) -> Any:
        self.send(type="join", room=room, name=name, **more)
        welcome = self.get()
        assert welcome["type"] == "welcome"
        return welcome

    def say(self, text: str, key: str | None = None) -> str:
        """Says it and reads until it is acknowledged. Returns the id."""
        self.keys += 1
        key = key or f"{id(self):016x}-{self.keys}"
        self.send(type="say", key=key, text=text)
        assert self.until("ack") == {"type": "ack", "key": key, "id": message_id(key)}
        return message_id(key)

    def until(self, kind: str) -> Any:
        while (event := self.get())["type"] != kind:
            pass
        return event

    def sync(self) -> list[Any]:
        """Everything that was sent to this client before now."""
        self.send(type="ping")
        events = []
        while (event := self.get())["type"] != "pong":
            events.append(event)
        return events

    def until_closed(self) -> tuple[list[Any], int, str]:
        """The last events, and the close code and reason."""
        events = []
        with pytest.raises(ConnectionClosed) as raised:
            while True:
                events.append(self.get())
        received = raised.value.rcvd
        assert received is not None
        return events, received.code, received.reason


class Ticks:
    """A clock that stands still, for the token buckets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class House:
    """A chat server that runs, and its clients."""

    def __init__(self) -> None:
        self.ticks = Ticks()
        self.stack = ExitStack()
        self.server: wspy.Server | None = None
        self.url = ""

    def start(self, **limits: Any) -> None:
        given = {"burst": 1000, **limits}
        server = wspy.Server(port=0, max_message_size=Limits().frame)
        Chat(Limits(**given), lambda: NOW, self.ticks).attach(server)
        self.server = server
        self.url = self.stack.enter_context(server.start_in_thread())

    def client(self) -> Client:
        # max_queue: a client that does not read meanwhile gets the close frame all the same.
        return Client(self.stack.enter_context(connect(self.url, max_queue=None)))

    def person(self, name: str, room: str = "") -> Client:
        """Somebody who has joined."""
        client = self.client()
        client.join(room, name)
        return client


@pytest.fixture
def house() -> Iterator[House]:
    house = House()
    with house.stack:
        yield house


@pytest.fixture
def chat(house: House) -> House:
    house.start()
    return house


def message(text: str, name: str, id_: str) -> dict[str, object]:
    return {"id": id_, "name": name, "at": 1_767_225_600_125, "text": text}


# -- coming, talking, going --


def test_two_people_talk(chat: House) -> None:
    ann, bob = chat.client(), chat.client()
    assert ann.join("lobby", "Ann") == {
        "type": "welcome", "room": "lobby", "you": "Ann", "people": ["Ann"], "history": [],
    }  # fmt: skip
    assert bob.join("lobby", "Bob")["people"] == ["Ann", "Bob"]
    assert ann.get() == {"type": "join", "name": "Bob"}
    text = "<b>hello</b> \N{WAVING HAND SIGN}"
    ann.send(type="say", key="0123456789abcdef", text=text)
    id_ = message_id("0123456789abcdef")
    said = {"type": "message", **message(text, "Ann", id_)}
    assert ann.get() == said
    assert ann.get() == {"type": "ack", "key": "0123456789abcdef", "id": id_}
    assert bob.get() == said
    bob.send(type="typing")
    assert ann.get() == {"type": "typing", "name": "Bob"}
    bob.socket.close()
    assert ann.get() == {"type": "leave", "name": "Bob"}
    assert ann.sync() == []


def test_rooms_know_nothing_of_each_other(chat: House) -> None:
    ann, bob = chat.person("Ann", "tea"), chat.person("Ann", "coffee")
    ann.say("tea?")
    bob.send(type="typing")
    assert ann.sync() == []
    assert bob.sync() == []
    assert chat.client().join("coffee")["history"] == []
    assert [m["text"] for m in chat.client().join("tea")["history"]] == ["tea?"]


def test_one_connection_goes_from_room_to_room(chat: House) -> None:
    ann, bob = chat.person("Ann", "tea"), chat.person("Bob", "tea")
    assert ann.get() == {"type": "join", "name": "Bob"}
    assert bob.join("coffee", "Bob")["people"] == ["Bob"]
    assert ann.get() == {"type": "leave", "name": "Bob"}
    ann.say("gone?")
    assert bob.sync() == []


def test_a_room_is_a_topic(chat: House) -> None:
    assert chat.server is not None
    name = "a/+/\N{GRINNING FACE}" * 6 + "a/"  # as long as a name may be
    ann, bob = chat.person("Ann", name), chat.person("Bob", "#")
    assert chat.server.topics() == {f"room {name}": 1, "room #": 1}
    ann.join("#")
    assert chat.server.topics() == {"room #": 2}
    assert bob.get() == {"type": "join", "name": "guest 1"}
    ann.send(type="flood")  # which closes her connection
    assert bob.get() == {"type": "leave", "name": "guest 1"}
    assert chat.server.topics() == {"room #": 1}


def test_a_room_is_one_however_it_is_spelled(chat: House) -> None:
    assert chat.client().join("  Tea\u202e \t Time ")["room"] == "tea time"
    assert chat.client().join("TEA TIME")["people"] == ["guest 1", "guest 2"]
    assert chat.client().join("\u202e \n")["room"] == "lobby"


def test_the_history_has_the_last_fifty(chat: House) -> None:
    ann = chat.person("Ann")
    ids = [ann.say(str(number)) for number in range(60)]
    history = chat.client().join()["history"]
    assert history == [message(str(n), "Ann", ids[n]) for n in range(10, 60)]


def test_the_history_stays_when_all_have_left(chat: House) -> None:
    ann, bob = chat.person("Ann", "tea"), chat.person("Bob", "tea")
    id_ = ann.say("here")
    bob.sync()
    ann.join("elsewhere")
    bob.sync()
    bob.join("elsewhere")
    assert chat.client().join("tea")["history"] == [message("here", "Ann", id_)]


def test_the_history_is_bounded_in_bytes(house: House) -> None:
    house.start(history_bytes=4000)
    ann = house.person("Ann")
    for letter in "abc":
        ann.say(letter * 1800)
    assert [m["text"][0] for m in house.client().join()["history"]] == ["b", "c"]


# -- names --


def test_names_are_unique_in_a_room(chat: House) -> None:
    wanted = ["Ann", "Ann", "ann", "\uff21nn", "A\u200dnn", "Ann (2)", "", "guest 1", ""]
    got = [chat.client().join(name=name)["you"] for name in wanted]
    assert got == [
        "Ann", "Ann (2)", "ann (3)", "\uff21nn (4)", "A\u200dnn (5)",
        "Ann (2) (2)", "guest 1", "guest 1 (2)", "guest 2",
    ]  # fmt: skip


def test_a_name_is_free_again(chat: House) -> None:
    ann = chat.person("Ann")
    ann.socket.close()
    bob = chat.person("Bob")
    while "Ann" in bob.join(name="Bob")["people"]:
        bob.until("leave")
    assert chat.client().join(name="Ann")["you"] == "Ann"


def test_taking_another_name(chat: House) -> None:
    ann, bob = chat.person("Ann"), chat.person("Bob")
    ann.sync()
    bob.send(type="name", name="Ann")
    for client in (ann, bob):
        assert client.get() == {"type": "renamed", "from": "Bob", "to": "Ann (2)"}
    bob.send(type="name", name="Ann (2)")  # it has that one
    assert bob.get() == {"type": "renamed", "from": "Ann (2)", "to": "Ann (2)"}
    assert ann.sync() == []
    ann.send(type="name", name=" ")
    assert bob.get() == {"type": "renamed", "from": "Ann", "to": "guest 1"}
    bob.send(type="name", name="ANN")
    assert bob.get() == {"type": "renamed", "from": "Ann (2)", "to": "ANN"}
    assert chat.client().join()["people"] == ["guest 1", "ANN", "guest 2"]


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("  Ann \n\t Smith ", "Ann Smith"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("\u202eevil\u202c\u2066\u200f\ufeff", "evil"),
        ("\x1b[31mred\x07\x00", "[31mred"),
        ("a" * 40, "a" * 32),
        ("e\u0301", "\u00e9"),
        ("\U0001f469\u200d\U0001f467", "\U0001f469\u200d\U0001f467"),
        ("\ud800x\udfff", "x"),
        ("\u200d\u200c", ""),
        ("\u3164\u2800", ""),
        ("\u0301\u0302", ""),
        ("\ue000\U000e0041", ""),
    ],
)
def test_what_becomes_of_a_name(wanted: str, name: str) -> None:
    assert clean_name(wanted, 32) == name
    assert clean_name(name, 32) == name


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("  a\r\nb\rc\td \n", "a\nb\nc\td"),
        ("\x00\x1b[2J\x7f\x85", "\u2400\u241b[2J\u2421\ufffd"),
        ("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069gnp.exe", "gnp.exe"),
        ("\u05e9\u200f!", "\u05e9\u200f!"),
        ("\ud800 \ud83d\ude00", "\ufffd \ufffd\ufffd"),
        ("\u202e \n", ""),
    ],
)
def test_what_becomes_of_a_text(text: str, shown: str) -> None:
    assert clean_text(text) == shown


def test_names_that_look_alike() -> None:
    assert len({skeleton(name) for name in ("Ann", "ANN", "A nn", "A\u200cnn", "\uff21nn")}) == 1
    assert skeleton("Ann") != skeleton("Anna")


def test_half_a_pair_in_an_escape_reaches_others_as_valid_text(chat: House) -> None:
    ann = chat.person("Ann")
    ann.socket.send('{"type":"say","key":"01234567","text":"\\ud83d\\ude00 \\ud83d"}')
    assert ann.get()["text"] == "\U0001f600 \ufffd"


# -- said once --


def test_a_message_sent_again_is_not_said_again(chat: House) -> None:
    ann, bob = chat.person("Ann"), chat.person("Bob")
    ann.say("once", key="the-same-key")
    ann.socket.close()
    ann = chat.client()
    ann.join(name="Ann")
    ann.send(type="say", key="the-same-key", text="once")
    assert ann.sync() == [
        {"type": "ack", "key": "the-same-key", "id": message_id("the-same-key")}
    ]  # fmt: skip
    assert [e["text"] for e in bob.sync() if e["type"] == "message"] == ["once"]
    assert len(chat.client().join()["history"]) == 1


def test_the_id_is_the_same_after_a_restart(house: House) -> None:
    house.start()
    ann = house.person("Ann")
    ann.say("once", key="the-same-key")
    house.start()
    again = house.person("Ann")
    again.send(type="say", key="the-same-key", text="once")
    assert again.get()["id"] == message_id("the-same-key")


def test_keys_are_remembered_for_long_but_not_for_ever(house: House) -> None:
    house.start(remembered=3, history=1)
    ann = house.person("Ann")
    for key in ("key-number-1", "key-number-2", "key-number-3", "key-number-1", "key-number-4"):
        ann.say(key, key=key)
    ann.send(type="say", key="key-number-2", text="known")
    assert [e["type"] for e in ann.sync()] == ["ack"]
    ann.send(type="say", key="key-number-1", text="forgotten")
    assert [e["type"] for e in ann.sync()] == ["message", "ack"]


def test_a_page_that_comes_back_takes_its_own_place(chat: House) -> None:
    bob = chat.person("Bob")
    ann = chat.client()
    ann.join(name="Ann", session="secret")
    assert bob.get() == {"type": "join", "name": "Ann"}
    again = chat.client()
    welcome = again.join(name="Ann", session="secret")
    assert (welcome["you"], welcome["people"]) == ("Ann", ["Bob", "Ann"])
    assert ann.until_closed() == ([], 4000, "replaced by a newer connection")
    assert bob.sync() == []
    third = chat.client()
    assert third.join(name="Eve", session="secret")["you"] == "Eve"
    assert bob.get() == {"type": "renamed", "from": "Ann", "to": "Eve"}
    assert chat.client().join(name="Eve", session="other")["you"] == "Eve (2)"


def test_no_session_is_nobodys_session(chat: House) -> None:
    chat.client().join(session="")
    assert chat.client().join(session="")["people"] == ["guest 1", "guest 2"]


# -- bounds --


@pytest.mark.parametrize(
    ("text", "why"), [("a" * 2001, "too long"), (" \n\u202e", "empty"), ("", "empty")]
)
def test_a_text_that_is_refused(chat: House, text: str, why: str) -> None:
    ann = chat.person("Ann")
    ann.send(type="say", key="01234567", text=text)
    assert ann.sync() == [{"type": "refused", "key": "01234567", "why": why}]


def test_the_longest_text_fits_however_it_is_written(chat: House) -> None:
    ann = chat.person("Ann")
    text = "\N{GRINNING FACE}" * 2000
    ann.say(text)  # 24,000 bytes: json.dumps writes twelve for each
    assert chat.client().join()["history"][0]["text"] == text


def test_a_full_room(house: House) -> None:
    house.start(people=2)
    ann, bob = house.person("Ann"), house.person("Bob")
    late = house.client()
    late.send(type="join")
    error = {"type": "error", "code": "full", "text": "this room is full"}
    assert late.until_closed() == ([error], 1013, "this room is full")
    bob.socket.close()
    ann.until("leave")
    assert house.client().join()["people"] == ["Ann", "guest 1"]


def test_too_many_rooms(house: House) -> None:
    house.start(rooms=2)
    ann, bob = house.person("Ann", "one"), house.person("Bob", "two")
    ann.say("first")
    bob.say("second")
    late = house.client()
    late.send(type="join", room="three")
    error = {"type": "error", "code": "full", "text": "there are too many rooms"}
    assert late.until_closed() == ([error], 1013, "there are too many rooms")
    ann.join("two", "Ann")  # and "one", which is empty now, makes place
    assert house.client().join("three")["people"] == ["guest 1"]
    late = house.client()
    late.send(type="join", room="one")
    assert late.until_closed()[1] == 1013


def test_the_room_that_was_left_longest_ago_is_forgotten(house: House) -> None:
    house.start(rooms=3)
    ann = house.client()
    for room in ("one", "two", "one", "three"):
        ann.join(room, "Ann")
        ann.say(f"in {room}")
    ann.join("four", "Ann")  # "two" goes
    assert [m["text"] for m in ann.join("one")["history"]] == ["in one", "in one"]
    assert [m["text"] for m in ann.join("three")["history"]] == ["in three"]
    assert ann.join("two")["history"] == []


def test_an_empty_room_without_history_leaves_no_trace(house: House) -> None:
    house.start(rooms=2)
    ann = house.client()
    ann.join("one", "Ann")
    ann.say("kept")
    for number in range(10):
        ann.join(f"room {number}", "Ann")
    assert [m["text"] for m in ann.join("one")["history"]] == ["kept"]


# -- floods --


def test_a_flood_is_told_and_then_closed(house: House) -> None:
    house.start(burst=5, rate=2.0, patience=3)
    ann, bob = house.person("Ann"), house.person("Bob")
    ann.sync()
    bob.sync()  # two of the five are gone: join, ping
    for number in range(8):
        bob.send(type="say", key=f"number-{number}", text=str(number))
    events, code, reason = bob.until_closed()
    assert (code, reason) == (1008, "you send too much")
    assert [e["text"] for e in events if e["type"] == "message"] == ["0", "1", "2"]
    assert [e["wait"] for e in events if e["type"] == "slow"] == [1.0, 1.5, 2.0]
    assert events[-1] == {"type": "error", "code": "flood", "text": "you send too much"}
    assert ann.until("leave") == {"type": "leave", "name": "Bob"}


def test_a_flood_does_not_slow_the_others(house: House) -> None:
    house.start(burst=20)
    ann, bob, eve = house.person("Ann"), house.person("Bob"), house.person("Eve")
    with pytest.raises(ConnectionClosed):
        for number in range(100_000):
            eve.send(type="say", key=f"number-{number}", text="x" * 1000)
    ann.say("still here")
    events = []
    while (event := bob.get()).get("text") != "still here":
        events.append(event)
    assert sum(e["type"] == "message" for e in events) == 19  # one of the twenty was her join


def test_slow_ends_with_time(house: House) -> None:
    house.start(burst=2, rate=2.0)
    ann = house.person("Ann")
    ann.say("first")
    ann.send(type="say", key="01234567", text="second")
    assert ann.get() == {"type": "slow", "wait": 1.0}
    house.ticks.now += 1.0
    ann.say("second", key="01234567")
    history = house.client().join()["history"]
    assert [m["text"] for m in history] == ["first", "second"]


def test_a_bucket() -> None:
    ticks = Ticks()
    bucket = Bucket(3, 0.5, ticks)
    assert [bucket.take() for _ in range(5)] == [2, 1, 0, -1, -2]
    assert bucket.wait() == 6
    ticks.now += 6
    assert bucket.wait() == 6  # it looks at the clock when something is taken
    assert bucket.take() == 0
    ticks.now += 1000
    assert bucket.take() == 2


# -- what is no event --


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("hello", "not JSON"),
        ("", "not JSON"),
        ("[" * 30_000, "not JSON"),
        ("1" * 5000, "not JSON"),
        ("[]", 'not an object with a "type"'),
        ("null", 'not an object with a "type"'),
        ("{}", 'not an object with a "type"'),
        ('{"type": 1}', 'not an object with a "type"'),
        ('{"type": "__class__"}', 'no such "type"'),
        ('{"type": "say", "text": "x"}', '"key" must be a string'),
        ('{"type": "say", "key": "short", "text": "x"}', "8 to 64 of A-Z a-z 0-9 _ -"),
        ('{"type": "say", "key": "0123456\\n", "text": "x"}', "8 to 64 of A-Z a-z 0-9 _ -"),
        ('{"type": "say", "key": "01234567"}', '"text" must be a string'),
        ('{"type": "say", "key": "01234567", "text": null}', '"text" must be a string'),
        ('{"type": "name"}', '"name" must be a string'),
        ('{"type": "join", "name": []}', '"name" must be a string'),
        ('{"type": "join", "room": 1e999}', '"room" must be a string'),
        ('{"type": "join", "session": {}}', '"session" must be a string'),
    ],
)
def test_what_is_no_event_ends_the_connection(chat: House, line: str, why: str) -> None:
    ann, bob = chat.person("Ann"), chat.person("Bob")
    bob.socket.send(line)
    (event,), code, reason = bob.until_closed()
    assert (event["type"], event["code"], event["text"]) == ("error", "bad-event", reason)
    assert reason.endswith(why)
    assert code == 1008
    assert ann.until("leave") == {"type": "leave", "name": "Bob"}
    assert ann.sync() == []


def test_binary_ends_the_connection(chat: House) -> None:
    bob = chat.person("Bob")
    bob.socket.send(b"{}")
    assert bob.until_closed()[1:] == (1003, "this chat speaks text")


def test_too_many_bytes_end_the_connection(chat: House) -> None:
    bob = chat.person("Bob")
    bob.socket.send("x" * (Limits().frame + 1))
    assert bob.until_closed()[1] == 1009


@pytest.mark.parametrize("kind", ["say", "name", "typing"])
def test_who_has_not_joined_can_only_ping(chat: House, kind: str) -> None:
    client = chat.client()
    assert client.sync() == []
    client.send(type=kind, key="01234567", text="x", name="x")
    error = {"type": "error", "code": "bad-event", "text": "join first"}
    assert client.until_closed() == ([error], 1008, "join first")


def test_members_that_nobody_knows_are_ignored(chat: House) -> None:
    ann = chat.person("Ann")
    ann.send(type="typing", more=[{}])
    assert ann.sync() == []


# -- the documentation and the example --


def test_the_conversation_in_the_documentation(house: House) -> None:
    house.start()
    house.person("Bob")
    ann = house.client()
    page = (ROOT / "docs" / "chat.md").read_text(encoding="utf-8")
    lines = re.findall(r"^([<>]) (\{.*\})$", page, re.MULTILINE)
    assert [direction for direction, _ in lines] == [">", "<", ">", "<", "<"]
    for direction, line in lines:
        if direction == ">":
            ann.socket.send(line)
        else:
            assert ann.get() | {"at": None} == json.loads(line) | {"at": None}


def test_the_limits_in_the_documentation() -> None:
    page = (ROOT / "docs" / "chat.md").read_text(encoding="utf-8").partition("## Limits")[2]
    numbers = [int(n) for n in re.findall(r"\b\d+\b", page.partition("\n\n| | |\n")[2])]
    limits = Limits()
    assert limits.frame == 32 * 1024
    assert limits.history_bytes == 128 * 1024
    assert limits.name == limits.room
    assert limits.people == limits.rooms
    assert numbers == [
        32, 1009, limits.text, limits.name, limits.people, limits.history, 128,
        limits.remembered, limits.rate, limits.burst, limits.patience,
    ]  # fmt: skip


def test_the_example(house: House, capfd: pytest.CaptureFixture[str]) -> None:
    house.start(burst=3, rate=20.0)
    ann = house.person("Ann", "tea")
    ann.say("anybody?")
    command = [
        sys.executable,
        str(ROOT / "examples" / "chat_client.py"),
        house.url,
        "Tea",
        "script",
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdin is not None
        assert run.stdout is not None
        run.stdin.write("one\ntwo\n")
        run.stdin.flush()
        assert [run.stdout.readline() for _ in range(3)] == [
            "Ann: anybody?\n", "script: one\n", "script: two\n",
        ]  # fmt: skip
        run.stdin.close()
        assert run.wait(TIMEOUT) == 0
    assert capfd.readouterr().err == ""
    assert ann.until("leave") == {"type": "leave", "name": "script"}

"""Topics, patterns, messages for many, keys, and what becomes of them at slow readers."""

from __future__ import annotations

import queue
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest
from conftest import Records, Servers
from support import (
    BINARY,
    MIB,
    TEXT,
    TIMEOUT,
    Client,
    Frame,
    Gate,
    Recorder,
    close_frame,
    get,
    make_binary,
    make_text,
    wait_until,
)

import wspy

Connect = Callable[..., Client]
T = TypeVar("T")

SMALL = 4096  # a receive buffer that fills at once
PLUG = 4_000_000  # bytes of a message that no kernel takes whole


class House:
    """A server that runs, and connections with their clients."""

    def __init__(self, servers: Servers, connect: Connect, **options: Any) -> None:
        self.connect = connect
        self.server = servers.make(**options)
        self.recorder = Recorder(self.server)
        servers.start(self.server)

    def enter(self, *topics: str, **options: Any) -> tuple[Client, wspy.Connection]:
        client: Client = self.connect(self.server, **options)
        conn = get(self.recorder.opened)
        for topic in topics:
            assert conn.subscribe(topic) is True
        return client, conn

    def on_loop(self, function: Callable[[], T]) -> T:
        """The result of a function that the loop's thread has called."""
        results: queue.Queue[T] = queue.Queue()
        self.server.call_soon(lambda: results.put(function()))
        return get(results)

    def plug(self, conn: wspy.Connection) -> None:
        """Sends what the peer, which does not read, cannot take: what is sent next has to wait."""
        conn.send(bytes(PLUG))
        wait_until(lambda: 0 < conn.backlog < PLUG)

    def unplug(self, client: Client) -> None:
        assert client.receive() == bytes(PLUG)


@pytest.fixture
def fast_switches() -> Iterator[None]:
    """Threads take turns often, so that more of their meetings are tried."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


MakeHouse = Callable[..., House]


@pytest.fixture
def make_house(servers: Servers, connect: Connect) -> MakeHouse:
    return lambda **options: House(servers, connect, **options)


@pytest.fixture
def house(make_house: MakeHouse) -> House:
    return make_house()


def expect(client: Client, *messages: str | bytes) -> None:
    assert [client.receive() for _ in messages] == list(messages)


def end(*clients: Client) -> None:
    """Closes: nothing has come that was not expected."""
    for client in clients:
        assert client.close() == (1000, "")


# -- subscribing --


def test_subscribe_and_publish(house: House) -> None:
    (ann, ann_conn), (bob, bob_conn), (eve, _) = house.enter(), house.enter(), house.enter()
    server = house.server
    assert server.publish("news", "to nobody") == 0
    assert ann_conn.subscribe("news") is True
    assert ann_conn.subscribe("news") is False
    assert bob_conn.subscribe("news") is True
    assert server.publish("news", "hello") == 2
    assert server.publish("news", b"\x00\xff") == 2
    assert server.publish("new", "to nobody") == 0
    assert [ann.read_frame(), ann.read_frame()] == [Frame(TEXT, b"hello"), Frame(BINARY, b"\0\xff")]
    expect(bob, "hello", b"\0\xff")
    assert ann_conn.unsubscribe("news") is True
    assert ann_conn.unsubscribe("news") is False
    assert server.publish("news", "again") == 1
    expect(bob, "again")
    assert bob_conn.unsubscribe("news") is True
    assert server.publish("news", "to nobody") == 0
    assert server.broadcast("end") == 3
    for client in (ann, bob, eve):
        expect(client, "end")
    assert server.stats()["sent"] == 8


def test_a_handler_subscribes_and_publishes(servers: Servers, connect: Connect) -> None:
    server = servers.make()
    server.on_open(lambda conn: conn.subscribe(conn.path))

    @server.on_message
    def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        assert server.publish(conn.path, f"{conn.id}: {message!s}") == 2

    servers.start(server)
    ann, bob, eve = connect(server, "/a"), connect(server, "/a"), connect(server, "/b")
    ann.send("hello")
    expect(ann, "1: hello")
    expect(bob, "1: hello")
    assert server.topics() == {"/a": 2, "/b": 1}
    end(ann, bob, eve)


def test_what_there_is(house: House) -> None:
    server = house.server
    assert server.topics() == {}
    (_, ann), (_, bob) = house.enter("a", "b"), house.enter("b")
    assert ann.subscribe("a/+", pattern=True)
    assert ann.subscribe("#", pattern=True)
    assert ann.topics == ["#", "a/+", "b", "a"]
    assert bob.topics == ["b"]
    assert server.topics() == {"a": 1, "b": 2, "a/+": 1, "#": 1}
    assert [server.subscribers(name) for name in ("a", "b", "a/x", "x", "$x")] == [1, 2, 1, 1, 0]
    ann.topics.clear()  # a list of the caller's own
    assert len(ann.topics) == 4


def test_a_topic_and_a_pattern_of_the_same_name(house: House) -> None:
    """Two subscriptions, which topics() adds up."""
    client, conn = house.enter()
    assert conn.subscribe("a/#") is True
    assert conn.subscribe("a/#", pattern=True) is True
    assert conn.topics == ["a/#", "a/#"]
    assert house.server.topics() == {"a/#": 2}
    assert house.server.publish("a/#", "to both") == 1
    expect(client, "to both")
    assert conn.unsubscribe("a/#", pattern=True) is True
    assert house.server.publish("a/b", "to nobody") == 0
    assert house.server.publish("a/#", "to the name") == 1
    expect(client, "to the name")
    assert conn.unsubscribe("a/#") is True
    assert house.server.topics() == {}
    end(client)


NAMES = ["a", " ", "x" * 255, "é" * 127, "a/b//c/", "/", "+", "#", "a+b", "$x", "\u200b", "\ue000",
         "\N{GRINNING FACE}" * 63]  # fmt: skip
NO_NAMES = ["", "x" * 256, "é" * 128, "a\0", "\n", "\x1f", "\x7f", "a\x80", "\x9f"]


def test_what_is_a_topic(house: House) -> None:
    client, conn = house.enter()
    for name in NAMES:
        assert conn.subscribe(name) is True
        assert conn.topics == [name]
        assert house.server.topics() == {name: 1}
        assert house.server.subscribers(name) == 1
        assert house.server.publish(name, name) == 1
        expect(client, name)
        assert conn.unsubscribe(name) is True


def test_what_is_no_topic(house: House) -> None:
    _, conn = house.enter()
    calls: list[Callable[[str], object]] = [
        conn.subscribe,
        lambda name: conn.publish(name, "x"),
        lambda name: house.server.publish(name, "x"),
        lambda name: house.server.publish_json(name, "x"),
        house.server.subscribers,
    ]
    for name in NO_NAMES:
        for call in calls:
            with pytest.raises(ValueError) as info:  # noqa: PT011
                call(name)
            assert str(info.value) == (
                f"topic must have 1 to 255 bytes of UTF-8 and no control characters, not {name!r}"
            )
        assert conn.unsubscribe(name) is False
    assert house.server.topics() == {}


def test_half_a_pair_is_no_topic(house: House) -> None:
    _, conn = house.enter()
    calls: list[Callable[..., object]] = [
        conn.subscribe,
        conn.unsubscribe,
        house.server.subscribers,
        lambda name: conn.publish(name, "x"),
    ]
    for call in calls:
        with pytest.raises(UnicodeEncodeError):
            call("\ud800")


WRONG: list[tuple[Callable[[Any], object], str]] = [
    (lambda conn: conn.subscribe(), "subscribe() missing argument 'topic'"),
    (lambda conn: conn.subscribe(topic="a"), "subscribe() takes 'topic' by position only"),
    (lambda conn: conn.subscribe("a", True),
     "subscribe() takes at most 1 positional arguments (2 given)"),
    (lambda conn: conn.subscribe(b"a"), "topic must be a str, not bytes"),
    (lambda conn: conn.subscribe("a", patern=True),
     "subscribe() got an unexpected keyword argument 'patern'"),
    (lambda conn: conn.unsubscribe(None), "topic must be a str, not NoneType"),
    (lambda conn: conn.publish("a"), "publish() missing argument 'data'"),
    (lambda conn: conn.publish("a", data="b"), "publish() takes 'data' by position only"),
    (lambda conn: conn.publish(data="b"), "publish() takes 'data' by position only"),
    (lambda conn: conn.publish("a", 5),
     "publish() takes str or a bytes-like object, not int"),
    (lambda conn: conn.publish("a", "b", exclude=None),
     "publish() got an unexpected keyword argument 'exclude'"),
    (lambda conn: conn.publish("a", "b", key=5), "key must be a str or None, not int"),
    (lambda conn: conn.server.publish(5, "b"), "topic must be a str, not int"),
    (lambda conn: conn.server.publish("a", "b", "c"),
     "publish() takes at most 2 positional arguments (3 given)"),
    (lambda conn: conn.server.publish("a", "b", exclude=[]),
     "exclude must be a Connection or None, not list"),
    (lambda conn: conn.server.broadcast(), "broadcast() missing argument 'data'"),
    (lambda conn: conn.server.broadcast("a", "b"),
     "broadcast() takes at most 1 positional arguments (2 given)"),
    (lambda conn: conn.server.broadcast(None),
     "broadcast() takes str or a bytes-like object, not NoneType"),
    (lambda conn: conn.server.subscribers(5), "topic must be a str, not int"),
    (lambda conn: conn.send("a", key=b"b"), "key must be a str or None, not bytes"),
]  # fmt: skip


def test_wrong_arguments(house: House) -> None:
    _, conn = house.enter("a")
    for call, message in WRONG:
        with pytest.raises(TypeError) as info:
            call(conn)
        assert str(info.value) == message


def test_texts_that_cannot_be_sent(house: House) -> None:
    client, conn = house.enter("a")
    for call in (house.server.broadcast, lambda text: house.server.publish("a", text)):
        with pytest.raises(UnicodeEncodeError):
            call("\ud800")
    with pytest.raises(UnicodeEncodeError):
        conn.send("a", key="\ud800")
    end(client)


def test_how_many_topics_a_connection_may_have(make_house: MakeHouse) -> None:
    house = make_house(max_topics=3)
    _, conn = house.enter("a", "b")
    assert conn.subscribe("c/#", pattern=True) is True
    for pattern in (False, True):
        with pytest.raises(ValueError) as info:  # noqa: PT011
            conn.subscribe("d", pattern=pattern)
        assert str(info.value) == (
            "topic 'd' is one too many: a connection has at most max_topics"
        )  # fmt: skip
    assert conn.subscribe("a") is False  # it has that one
    assert house.server.topics() == {"a": 1, "b": 1, "c/#": 1}
    assert conn.unsubscribe("b") is True
    assert conn.subscribe("d") is True
    assert house.enter("b")[1].topics == ["b"]


def test_any_number_of_topics(make_house: MakeHouse) -> None:
    house = make_house(max_topics=None)
    names = [f"topic {number}" for number in range(2000)]
    client, conn = house.enter(*names)
    assert conn.topics == names[::-1]
    assert house.server.topics() == dict.fromkeys(names, 1)
    assert house.server.publish("topic 1234", "found") == 1
    expect(client, "found")
    client.close()
    get(house.recorder.closed)
    assert house.server.topics() == {}


# -- patterns --


@pytest.mark.parametrize(
    ("pattern", "matched", "others"),
    [
        ("a/+/c", ["a/b/c", "a//c", "a/+/c"], ["a/c", "a/b/b/c", "a/b/c/d", "A/b/c", "a/b"]),
        ("a/#", ["a", "a/b", "a/b/c", "a/"], ["ab", "b/a", "/a"]),
        ("#", ["a", "a/b", "/", "a/$b"], ["$a", "$a/b"]),
        ("+", ["a", " ", "#"], ["a/b", "/", "a/", "$a"]),
        ("+/+", ["/", "a/b", "a/$b"], ["a", "a/b/c", "$a/b"]),
        ("/+", ["/a", "/"], ["a", "/a/b"]),
        ("+/b/#", ["a/b", "a/b/c/d", "/b"], ["$a/b", "a/c", "b"]),
        ("$a/#", ["$a", "$a/b"], ["a", "$ab"]),
        ("a/b", ["a/b"], ["a", "a/b/c", "a/"]),
        ("é/+", ["é/ö"], ["e/ö", "é"]),
    ],
)
def test_what_a_pattern_matches(
    house: House, pattern: str, matched: list[str], others: list[str]
) -> None:
    """MQTT 5 section 4.7."""
    client, conn = house.enter()
    assert conn.subscribe(pattern, pattern=True) is True
    assert [house.server.publish(name, name) for name in matched] == [1] * len(matched)
    assert [house.server.publish(name, name) for name in others] == [0] * len(others)
    assert [house.server.subscribers(name) for name in matched] == [1] * len(matched)
    expect(client, *matched)
    assert conn.unsubscribe(pattern) is False
    assert conn.unsubscribe(pattern, pattern=True) is True
    assert house.server.publish(matched[0], "late") == 0
    assert house.server.topics() == {}
    end(client)


def test_what_is_no_pattern(house: House) -> None:
    _, conn = house.enter()
    for pattern in ["a+", "+a/b", "a/#/b", "#/a", "#a", "a#", "##", "++", *NO_NAMES]:
        with pytest.raises(ValueError) as info:  # noqa: PT011
            conn.subscribe(pattern, pattern=True)
        assert str(info.value) == (
            "topic must be a pattern of 1 to 255 bytes such as 'a/+/c' or 'a/#', where + and # "
            f"stand alone between slashes and # is last, not {pattern!r}"
        )
        assert conn.unsubscribe(pattern, pattern=True) is False
    assert conn.topics == []


def test_a_message_comes_once_however_many_match(house: House) -> None:
    (ann, ann_conn), (bob, bob_conn) = house.enter("a/b"), house.enter("a/b")
    for pattern in ("a/+", "a/#", "#", "+/b"):
        assert ann_conn.subscribe(pattern, pattern=True) is True
    assert bob_conn.subscribe("#", pattern=True) is True
    assert house.server.subscribers("a/b") == 2
    assert house.server.publish("a/b", "once") == 2
    assert house.server.publish("a/b", "to Bob", exclude=ann_conn) == 1
    assert house.server.publish("a", "to both") == 2
    expect(ann, "once", "to both")
    expect(bob, "once", "to Bob", "to both")
    end(ann, bob)


# -- exclude and broadcast --


@pytest.mark.parametrize("where", ["here", "on the loop"])
def test_exclude(house: House, where: str) -> None:
    def run(function: Callable[[], T]) -> T:
        return function() if where == "here" else house.on_loop(function)

    (ann, ann_conn), (bob, _), (eve, eve_conn) = house.enter("t"), house.enter("t"), house.enter()
    server = house.server
    assert run(lambda: server.publish("t", "1", exclude=ann_conn)) == 1
    assert run(lambda: server.publish("t", "2", exclude=eve_conn)) == 2
    assert run(lambda: server.publish("t", "3", exclude=None)) == 2
    assert run(lambda: ann_conn.publish("t", "4")) == 1
    assert run(lambda: eve_conn.publish("t", "5")) == 2
    assert run(lambda: server.publish_json("t", 6, exclude=ann_conn)) == 1
    assert run(lambda: server.broadcast("7", exclude=ann_conn)) == 2
    assert run(lambda: server.broadcast(b"8")) == 3
    expect(ann, "2", "3", "5", b"8")
    expect(bob, "1", "2", "3", "4", "5", "6", "7", b"8")
    expect(eve, "7", b"8")
    end(ann, bob, eve)


@pytest.mark.parametrize("where", ["here", "on the loop"])
def test_exclude_one_who_has_gone(house: House, where: str) -> None:
    """The others are as many as they are, and one who stays alone gets it too."""
    (ann, _), (bob, bob_conn) = house.enter("t"), house.enter("t")
    bob.close()
    get(house.recorder.closed)

    def run() -> tuple[int, int]:
        broadcast = house.server.broadcast("broadcast", exclude=bob_conn)
        return broadcast, bob_conn.publish("t", "published")

    assert (run() if where == "here" else house.on_loop(run)) == (1, 1)
    expect(ann, "broadcast", "published")
    end(ann)


def test_exclude_of_another_server(house: House, make_house: MakeHouse) -> None:
    client, _ = house.enter("t")
    _, stranger = make_house().enter()
    calls: list[Callable[..., object]] = [
        lambda exclude: house.server.publish("t", "x", exclude=exclude),
        lambda exclude: house.server.publish_json("t", "x", exclude=exclude),
        lambda exclude: house.server.broadcast("x", exclude=exclude),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"^exclude must be a connection of this server$"):
            call(stranger)
    end(client)


def test_broadcast_before_and_after_the_run(servers: Servers) -> None:
    server = servers.make()
    assert server.broadcast("x") == 0
    assert server.publish("t", "x") == 0
    assert server.topics() == {}
    servers.start(server).stop()
    assert server.broadcast("x") == 0
    assert server.publish("t", "x") == 0
    assert server.subscribers("t") == 0


# -- the end of a connection --


@pytest.mark.parametrize("how", ["close", "reset", "eof", "here", "on the loop", "stop"])
def test_one_who_goes_leaves_the_topics(house: House, how: str) -> None:
    (client, conn), (other, _) = house.enter("a", "b"), house.enter("b")
    conn.subscribe("#", pattern=True)
    if how == "close":
        client.close(4000)
    elif how == "reset":
        client.reset()
    elif how == "eof":
        client.shutdown()
        client.expect_end()
    elif how == "here":
        conn.close(4000)
        assert client.answer_close() == (4000, "")
    elif how == "on the loop":

        def close() -> dict[str, int]:
            conn.close(4000)
            assert house.server.publish("b", "to the other") == 1
            assert conn.topics == []
            return house.server.topics()

        assert house.on_loop(close) == {"b": 1}
        expect(other, "to the other")
        assert client.answer_close() == (4000, "")
    else:
        house.server.stop()
        assert client.answer_close() == (1001, "")
        assert other.answer_close() == (1001, "")
    client.socket.close()
    closed = get(house.recorder.closed)
    while closed.conn is not conn:
        closed = get(house.recorder.closed)
    if how != "stop":
        assert house.server.topics() == {"b": 1}
    assert conn.topics == []
    with pytest.raises(wspy.ConnectionClosed):
        conn.subscribe("c")
    assert conn.unsubscribe("a") is False


def test_topics_in_the_handlers(servers: Servers, connect: Connect) -> None:
    """In on_open a connection can subscribe, in on_close it has left; both may publish."""
    seen: queue.Queue[object] = queue.Queue()
    server = servers.make()

    @server.on_open
    def opened(conn: wspy.Connection) -> None:
        conn.subscribe("room")
        seen.put(server.publish("room", f"{conn.id} came"))

    @server.on_close
    def closed(conn: wspy.Connection, code: int, reason: str) -> None:
        with pytest.raises(wspy.ConnectionClosed):
            conn.subscribe("late")
        seen.put((conn.topics, server.topics(), conn.publish("room", f"{conn.id} left")))
        seen.put(server.broadcast("somebody left", exclude=conn))

    servers.start(server)
    ann, bob = connect(server), connect(server)
    expect(ann, "1 came", "2 came")
    expect(bob, "2 came")
    bob.close()
    expect(ann, "2 left", "somebody left")
    ann.close()
    got = [get(seen) for _ in range(6)]
    assert got == [1, 2, ([], {"room": 1}, 1), 1, ([], {}, 0), 0]


def test_a_connection_of_a_server_that_has_ended(servers: Servers, connect: Connect) -> None:
    house = House(servers, connect)
    client, conn = house.enter("a")
    client.close()
    client.socket.close()
    get(house.recorder.closed)
    servers.threads[-1].stop()
    with pytest.raises(wspy.ConnectionClosed):
        conn.subscribe("a")
    assert conn.unsubscribe("a") is False
    assert conn.topics == []
    assert conn.publish("a", "x") == 0
    assert house.server.broadcast("x", exclude=conn) == 0
    assert house.server.topics() == {}


# -- order --


@pytest.mark.parametrize("where", ["here", "on the loop"])
def test_what_is_sent_and_what_is_published_keep_their_order(house: House, where: str) -> None:
    client, conn = house.enter("t")

    def run() -> None:
        for number in range(0, 50, 5):
            conn.send(f"{number}")
            house.server.publish("t", f"{number + 1}")
            conn.send_json(number + 2)
            house.server.broadcast(f"{number + 3}")
            house.server.publish_json("t", number + 4)

    run() if where == "here" else house.on_loop(run)
    expect(client, *map(str, range(50)))


@pytest.mark.usefixtures("fast_switches")
def test_all_subscribers_see_one_order(servers: Servers, connect: Connect) -> None:
    """Of the messages of three threads and of the loop's."""
    house = House(servers, connect, max_backlog=None)  # the readers may be late
    entered = [house.enter("t") for _ in range(4)]
    barrier = threading.Barrier(4)

    def publish(who: str, number: int) -> None:
        size = (0, 100, 5000, 20_000)[number % 4]
        house.server.publish("t", f"{who} {number} " + "x" * size)

    def work(who: str) -> None:
        barrier.wait(TIMEOUT)
        for number in range(200):
            publish(who, number)

    def again(number: int) -> None:
        publish("loop", number)
        if number < 199:
            house.server.call_soon(again, number + 1)

    got: list[list[str]] = [[] for _ in entered]

    def read(i: int) -> None:
        got[i] = [str(entered[i][0].receive()).rstrip("x") for _ in range(800)]

    threads = [threading.Thread(target=work, args=(str(i),)) for i in range(3)]
    threads += [threading.Thread(target=read, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    barrier.wait(TIMEOUT)
    house.server.call_soon(again, 0)
    for thread in threads:
        thread.join(60)
    assert got[0] == got[1] == got[2] == got[3]
    numbers: dict[str, list[int]] = defaultdict(list)
    for message in got[0]:
        who, number = message.split()
        numbers[who].append(int(number))
    assert numbers == {who: list(range(200)) for who in ("0", "1", "2", "loop")}


def test_a_message_is_for_those_who_had_subscribed(servers: Servers, connect: Connect) -> None:
    """What another thread publishes waits for the loop; who subscribes meanwhile is too late."""
    gate = Gate()
    house = House(servers, connect)
    (ann, _), (bob, bob_conn), (eve, eve_conn) = house.enter("t"), house.enter(), house.enter("t")
    server = house.server
    server.call_soon(gate.hold)
    assert gate.entered.wait(TIMEOUT)
    assert server.publish("t", "1") == 2
    assert bob_conn.subscribe("t") is True
    assert server.publish("t", "2") == 3
    assert eve_conn.unsubscribe("t") is True  # before any of them has gone out to her
    assert server.publish("t", "3") == 2
    assert eve_conn.subscribe("t") is True
    assert server.publish("t", "4") == 3
    gate.leave.set()
    expect(ann, "1", "2", "3", "4")
    expect(bob, "2", "3", "4")
    expect(eve, "4")
    end(ann, bob, eve)


def test_what_others_have_published_goes_before_what_the_loop_publishes(house: House) -> None:
    client, _ = house.enter("t")
    published = threading.Event()
    gate = Gate()

    def work() -> None:
        gate.hold()
        published.wait(TIMEOUT)
        house.server.publish("t", "second")

    house.server.call_soon(work)
    assert gate.entered.wait(TIMEOUT)
    house.server.publish("t", "first")
    published.set()
    gate.leave.set()
    expect(client, "first", "second")


@pytest.mark.usefixtures("fast_switches")
def test_threads_subscribe_and_unsubscribe_while_others_publish(house: House) -> None:
    client, conn = house.enter()
    (other, _) = house.enter("t")
    over = threading.Event()
    got: list[list[int]] = [[], []]

    def read(i: int, client: Client) -> None:
        while (message := client.receive()) != "end":
            got[i].append(int(message))

    def toggle() -> None:
        while not over.is_set():
            conn.subscribe("t")
            conn.subscribe("+", pattern=True)
            conn.unsubscribe("t")
            conn.unsubscribe("+", pattern=True)

    readers = [threading.Thread(target=read, args=pair) for pair in ((0, client), (1, other))]
    toggler = threading.Thread(target=toggle)
    for thread in (*readers, toggler):
        thread.start()
    for number in range(1000):
        if number % 2:
            house.server.publish("t", str(number))
        else:
            house.on_loop(lambda number=number: house.server.publish("t", str(number)))  # type: ignore[misc]
    over.set()
    toggler.join(TIMEOUT)
    house.server.broadcast("end")
    for thread in readers:
        thread.join(TIMEOUT)
    assert got[1] == list(range(1000))
    assert got[0] == sorted(set(got[0]))
    assert 0 < len(got[0]) < 1000
    assert house.server.topics() == {"t": 1}


@pytest.mark.usefixtures("fast_switches")
def test_connections_come_and_go_while_others_publish(house: House) -> None:
    stay, _ = house.enter("t")
    over = threading.Event()
    published: list[int] = []

    def publish() -> None:
        number = 0
        while not over.is_set():
            number += 1
            house.server.publish("t", str(number))
            house.server.broadcast(str(-number))
            if number % 16 == 0:  # not more than the loop keeps up with
                house.on_loop(lambda: None)
        published.append(number)

    numbers: list[int] = []

    def read() -> None:
        while (message := stay.receive()) != "end":
            numbers.append(int(message))

    threads = [threading.Thread(target=publish), threading.Thread(target=read)]
    for thread in threads:
        thread.start()
    for i in range(60):
        client, conn = house.enter()
        conn.subscribe("t")
        assert client.receive() != ""
        client.reset() if i % 3 else client.socket.close()
    over.set()
    threads[0].join(TIMEOUT)
    house.server.broadcast("end")
    threads[1].join(TIMEOUT)
    assert numbers == [sign * n for n in range(1, published[0] + 1) for sign in (1, -1)]
    wait_until(lambda: house.server.topics() == {"t": 1})


# -- sizes and slow readers --


SIZES = [0, 1, 125, 126, 4092, 4093, 5000, 16_384, 65_535, 65_536, MIB]


@pytest.mark.parametrize("where", ["here", "on the loop"])
@pytest.mark.parametrize("kind", ["text", "bytes", "bytearray"])
def test_sizes(make_house: MakeHouse, where: str, kind: str) -> None:
    """One of the receivers does not read until all is published."""
    house = make_house(max_backlog=None)
    entered = [house.enter("t", receive_buffer=SMALL if i == 2 else None) for i in range(5)]
    slow, slow_conn = entered[2]
    house.plug(slow_conn)
    messages: list[Any] = [
        make_text(size, i) if kind == "text" else make_binary(size, i)
        for i, size in enumerate(SIZES)
    ]

    def run() -> list[int]:
        make = bytearray if kind == "bytearray" else lambda message: message
        return [house.server.publish("t", make(message)) for message in messages]

    assert (run() if where == "here" else house.on_loop(run)) == [5] * len(SIZES)
    house.unplug(slow)
    for client, _ in entered:
        expect(client, *messages)


def test_a_large_object_is_let_go(house: House) -> None:
    clients = [house.enter("t")[0] for _ in range(5)]
    for message in ("x" * MIB, bytes(MIB)):
        before = sys.getrefcount(message)
        house.server.publish("t", message)
        house.on_loop(lambda message=message: house.server.publish("t", message))  # type: ignore[misc]
        house.server.publish("nobody", message)
        for client in clients:
            expect(client, message, message)
        wait_until(lambda: house.on_loop(lambda: sys.getrefcount(message)) == before)  # noqa: B023


def test_a_message_for_many_waits_for_the_end_of_a_stream(house: House) -> None:
    (ann, conn), (bob, _) = house.enter("t"), house.enter("t")
    with conn.stream(text=True) as stream:
        stream.write("a")
        assert house.server.publish("t", "published") == 2
        assert house.on_loop(lambda: house.server.publish("t", "there too")) == 2
        expect(bob, "published", "there too")
        stream.write("b")
    assert [ann.read(3), ann.read(3), ann.read(2)] == [b"\x01\x01a", b"\x00\x01b", b"\x80\x00"]
    expect(ann, "published", "there too")


@pytest.mark.parametrize("where", ["here", "on the loop"])
def test_one_who_does_not_read_is_closed_and_the_others_go_on(
    make_house: MakeHouse, where: str
) -> None:
    house = make_house(max_backlog=PLUG + 2_000_000)
    entered = [house.enter("t", receive_buffer=SMALL if i % 2 else None) for i in range(6)]
    slow = [pair for i, pair in enumerate(entered) if i % 2]
    fast = [client for i, (client, _) in enumerate(entered) if not i % 2]
    for _, conn in slow:
        house.plug(conn)
    sent = 0
    message = make_text(100_000)
    while house.server.topics() == {"t": 6}:
        if where == "here":
            house.server.publish("t", message)
        else:
            house.on_loop(lambda: house.server.publish("t", message))
        sent += 1
        for client in fast:
            expect(client, message)
    for client, conn in slow:
        wait_until(lambda: not conn.is_open)  # noqa: B023
        assert client.read_close() == (1013, "the backlog is full")
        client.send_raw(close_frame(1013))
        assert conn.dropped > 0
    assert {get(house.recorder.closed).kind for _ in slow} == {"backlog"}
    assert house.server.topics() == {"t": 3}
    assert house.server.publish("t", "the end") == 3
    for client in fast:
        expect(client, "the end")
    end(*fast)
    assert 1 < sent < 200


def number_of(data: str | bytes) -> int:
    return int(data[:8])


def block(number: int) -> str:
    return f"{number:8}" + "." * 99_992


Send = Callable[[House, wspy.Connection, int], bool | int]
SENDS: dict[str, Send] = {
    "send": lambda house, conn, n: conn.send(block(n)),
    "publish": lambda house, conn, n: house.server.publish("t", block(n)),
    "broadcast": lambda house, conn, n: house.server.broadcast(block(n)),
}


@pytest.mark.parametrize("how", SENDS)
def test_drop_newest(make_house: MakeHouse, how: str) -> None:
    house = make_house(
        backlog_policy="drop-newest", max_backlog=PLUG + 300_000, high_water=2**40
    )  # fmt: skip
    client, conn = house.enter("t", receive_buffer=SMALL)
    house.plug(conn)
    total = 60
    results = house.on_loop(lambda: [SENDS[how](house, conn, n) for n in range(total)])
    dropped = conn.dropped
    kept = total - dropped
    assert 3 <= kept < total
    # Of many it is told how many they are, not what became of the message at each.
    assert results == ([True] * kept + [False] * dropped if how == "send" else [1] * total)
    assert house.server.stats()["dropped_sent"] == dropped
    assert conn.is_open
    house.unplug(client)
    assert [number_of(client.receive()) for _ in range(kept)] == list(range(kept))
    assert house.server.broadcast("room again") == 1
    expect(client, "room again")
    end(client)


@pytest.mark.parametrize("how", SENDS)
def test_drop_oldest(make_house: MakeHouse, how: str) -> None:
    house = make_house(
        backlog_policy="drop-oldest", max_backlog=PLUG + 300_000, high_water=2**40
    )  # fmt: skip
    client, conn = house.enter("t", receive_buffer=SMALL)
    house.plug(conn)
    total = 60
    results = house.on_loop(lambda: [SENDS[how](house, conn, n) for n in range(total)])
    assert results == [1] * total  # True is 1
    dropped = conn.dropped
    assert 3 <= total - dropped < total
    assert house.server.stats()["dropped_sent"] == dropped
    house.unplug(client)
    numbers = [number_of(client.receive()) for _ in range(total - dropped)]
    assert numbers == list(range(dropped, total))
    end(client)


def test_more_than_the_loop_keeps_up_with(make_house: MakeHouse, log: Records) -> None:
    """16 MiB of messages of other threads may wait for the loop."""
    house = make_house(max_backlog=None)
    client, conn = house.enter("t")
    gate = Gate()
    house.server.call_soon(gate.hold)
    assert gate.entered.wait(TIMEOUT)
    message = bytes(MIB)
    assert [house.server.publish("t", message) for _ in range(16)] == [1] * 16
    assert house.server.publish("t", message) == 0
    assert house.server.broadcast("x") == 0
    assert conn.send("this goes by another way") is True
    assert house.server.publish("nobody", message) == 0
    gate.leave.set()
    expect(client, *[message] * 16, "this goes by another way")
    assert house.on_loop(lambda: house.server.publish("t", "on the loop")) == 1
    assert house.server.publish("t", "room again") == 1
    expect(client, "on the loop", "room again")
    assert house.server.stats()["dropped_sent"] == 2
    lines = [line for line in log.at(30) if "published" in line]
    assert lines == [
        "2 messages that other threads published were dropped: the loop does not keep up"
    ]


# -- keys --


def test_who_keeps_up_gets_every_message(house: House) -> None:
    client, conn = house.enter("t")
    for number in range(50):
        conn.send(f"sent {number}", key="a")
        house.server.publish("t", f"published {number}", key="a")
    expect(client, *(f"{how} {n}" for n in range(50) for how in ("sent", "published")))
    assert conn.dropped == 0
    assert house.server.stats()["replaced"] == 0


@pytest.mark.parametrize("where", ["here", "on the loop"])
def test_a_newer_message_takes_the_place_of_an_older_one(make_house: MakeHouse, where: str) -> None:
    house = make_house(max_backlog=None)
    client, conn = house.enter("t", receive_buffer=SMALL)
    other, _ = house.enter("t")
    house.plug(conn)
    server = house.server

    def run() -> None:
        server.publish("t", "a 1", key="a")
        server.publish("t", "no key")
        server.publish("t", "b 1", key="b")
        server.publish("t", "a 2, which is longer", key="a")
        server.publish_json("t", "a 3", key="a")
        conn.send("empty key 1", key="")
        server.broadcast("b 2", key="b")
        conn.send_json("a 4", key="a")
        conn.send("no key", key=None)
        conn.send("empty key 2", key="")
        server.publish("t", b"binary a 5", key="a")

    run() if where == "here" else house.on_loop(run)
    house.unplug(client)
    expect(client, b"binary a 5", "no key", "b 2", "empty key 2", "no key")
    expect(other, "a 1", "no key", "b 1", "a 2, which is longer", '"a 3"', "b 2", b"binary a 5")
    assert conn.dropped == 6
    assert server.stats()["replaced"] == 6
    assert server.stats()["dropped_sent"] == 0
    end(client, other)


def test_many_keys_never_make_a_growing_queue(make_house: MakeHouse) -> None:
    house = make_house(max_backlog=PLUG + 100_000)
    client, conn = house.enter("t", receive_buffer=SMALL)
    house.plug(conn)
    plugged = conn.backlog
    for number in range(2000):
        house.server.publish("t", f"{number:5}", key=f"key {number % 100}")
        if number % 50 == 0:  # not more than the loop keeps up with
            house.on_loop(lambda: None)
    house.on_loop(lambda: None)
    assert conn.backlog <= plugged + 100 * 7
    assert conn.dropped == 1900
    house.unplug(client)
    expect(client, *(f"{number:5}" for number in range(1900, 2000)))
    end(client)


def test_keys_behind_a_stream(house: House) -> None:
    client, conn = house.enter()
    with conn.stream(text=True) as stream:
        stream.write("a")
        conn.send("old", key="k")
        conn.send("between")
        conn.send("new", key="k")
    assert [client.read(3), client.read(2)] == [b"\x01\x01a", b"\x80\x00"]
    expect(client, "new", "between")
    assert conn.dropped == 1


def test_the_key_of_one_connection_is_not_that_of_another(make_house: MakeHouse) -> None:
    house = make_house(max_backlog=None)
    entered = [house.enter(receive_buffer=SMALL) for _ in range(2)]
    for _, conn in entered:
        house.plug(conn)
        conn.send(f"for {conn.id}", key="k")
    for client, conn in entered:
        house.unplug(client)
        expect(client, f"for {conn.id}")
        assert conn.dropped == 0

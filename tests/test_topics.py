"""Topics and patterns: who subscribes to what, and until when."""

from __future__ import annotations

import queue
from collections.abc import Callable
from typing import Any

import pytest
from audience import Audience, MakeAudience, end, expect
from conftest import Servers
from support import BINARY, TEXT, Connect, Frame, get

import wspy

# -- subscribing --


def test_subscribe_and_publish(audience: Audience) -> None:
    (ann, ann_conn), (bob, bob_conn), (eve, _) = (
        audience.enter(),
        audience.enter(),
        audience.enter(),
    )
    server = audience.server
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


def test_what_there_is(audience: Audience) -> None:
    server = audience.server
    assert server.topics() == {}
    (_, ann), (_, bob) = audience.enter("a", "b"), audience.enter("b")
    assert ann.subscribe("a/+", pattern=True)
    assert ann.subscribe("#", pattern=True)
    assert ann.topics == ["#", "a/+", "b", "a"]
    assert bob.topics == ["b"]
    assert server.topics() == {"a": 1, "b": 2, "a/+": 1, "#": 1}
    assert [server.subscribers(name) for name in ("a", "b", "a/x", "x", "$x")] == [1, 2, 1, 1, 0]
    ann.topics.clear()  # a list of the caller's own
    assert len(ann.topics) == 4


def test_a_topic_and_a_pattern_of_the_same_name(audience: Audience) -> None:
    """Two subscriptions, which topics() adds up."""
    client, conn = audience.enter()
    assert conn.subscribe("a/#") is True
    assert conn.subscribe("a/#", pattern=True) is True
    assert conn.topics == ["a/#", "a/#"]
    assert audience.server.topics() == {"a/#": 2}
    assert audience.server.publish("a/#", "to both") == 1
    expect(client, "to both")
    assert conn.unsubscribe("a/#", pattern=True) is True
    assert audience.server.publish("a/b", "to nobody") == 0
    assert audience.server.publish("a/#", "to the name") == 1
    expect(client, "to the name")
    assert conn.unsubscribe("a/#") is True
    assert audience.server.topics() == {}
    end(client)


NAMES = ["a", " ", "x" * 255, "é" * 127, "a/b//c/", "/", "+", "#", "a+b", "$x", "\u200b", "\ue000",
         "\N{GRINNING FACE}" * 63]  # fmt: skip
NO_NAMES = ["", "x" * 256, "é" * 128, "a\0", "\n", "\x1f", "\x7f", "a\x80", "\x9f"]


def test_what_is_a_topic(audience: Audience) -> None:
    client, conn = audience.enter()
    for name in NAMES:
        assert conn.subscribe(name) is True
        assert conn.topics == [name]
        assert audience.server.topics() == {name: 1}
        assert audience.server.subscribers(name) == 1
        assert audience.server.publish(name, name) == 1
        expect(client, name)
        assert conn.unsubscribe(name) is True


def test_what_is_no_topic(audience: Audience) -> None:
    _, conn = audience.enter()
    calls: list[Callable[[str], object]] = [
        conn.subscribe,
        lambda name: conn.publish(name, "x"),
        lambda name: audience.server.publish(name, "x"),
        lambda name: audience.server.publish_json(name, "x"),
        audience.server.subscribers,
    ]
    for name in NO_NAMES:
        for call in calls:
            with pytest.raises(ValueError) as info:  # noqa: PT011
                call(name)
            assert str(info.value) == (
                f"topic must have 1 to 255 bytes of UTF-8 and no control characters, not {name!r}"
            )
        assert conn.unsubscribe(name) is False
    assert audience.server.topics() == {}


def test_half_a_pair_is_no_topic(audience: Audience) -> None:
    _, conn = audience.enter()
    calls: list[Callable[..., object]] = [
        conn.subscribe,
        conn.unsubscribe,
        audience.server.subscribers,
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


def test_wrong_arguments(audience: Audience) -> None:
    _, conn = audience.enter("a")
    for call, message in WRONG:
        with pytest.raises(TypeError) as info:
            call(conn)
        assert str(info.value) == message


def test_how_many_topics_a_connection_may_have(make_audience: MakeAudience) -> None:
    audience = make_audience(max_topics=3)
    _, conn = audience.enter("a", "b")
    assert conn.subscribe("c/#", pattern=True) is True
    for pattern in (False, True):
        with pytest.raises(ValueError) as info:  # noqa: PT011
            conn.subscribe("d", pattern=pattern)
        assert str(info.value) == (
            "topic 'd' is one too many: a connection has at most max_topics"
        )  # fmt: skip
    assert conn.subscribe("a") is False  # it has that one
    assert audience.server.topics() == {"a": 1, "b": 1, "c/#": 1}
    assert conn.unsubscribe("b") is True
    assert conn.subscribe("d") is True
    assert audience.enter("b")[1].topics == ["b"]


def test_any_number_of_topics(make_audience: MakeAudience) -> None:
    audience = make_audience(max_topics=None)
    names = [f"topic {number}" for number in range(2000)]
    client, conn = audience.enter(*names)
    assert conn.topics == names[::-1]
    assert audience.server.topics() == dict.fromkeys(names, 1)
    assert audience.server.publish("topic 1234", "found") == 1
    expect(client, "found")
    client.close()
    get(audience.recorder.closed)
    assert audience.server.topics() == {}


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
    audience: Audience, pattern: str, matched: list[str], others: list[str]
) -> None:
    """MQTT 5 section 4.7."""
    client, conn = audience.enter()
    assert conn.subscribe(pattern, pattern=True) is True
    assert [audience.server.publish(name, name) for name in matched] == [1] * len(matched)
    assert [audience.server.publish(name, name) for name in others] == [0] * len(others)
    assert [audience.server.subscribers(name) for name in matched] == [1] * len(matched)
    expect(client, *matched)
    assert conn.unsubscribe(pattern) is False
    assert conn.unsubscribe(pattern, pattern=True) is True
    assert audience.server.publish(matched[0], "late") == 0
    assert audience.server.topics() == {}
    end(client)


def test_what_is_no_pattern(audience: Audience) -> None:
    _, conn = audience.enter()
    for pattern in ["a+", "+a/b", "a/#/b", "#/a", "#a", "a#", "##", "++", *NO_NAMES]:
        with pytest.raises(ValueError) as info:  # noqa: PT011
            conn.subscribe(pattern, pattern=True)
        assert str(info.value) == (
            "topic must be a pattern of 1 to 255 bytes such as 'a/+/c' or 'a/#', where + and # "
            f"stand alone between slashes and # is last, not {pattern!r}"
        )
        assert conn.unsubscribe(pattern, pattern=True) is False
    assert conn.topics == []


def test_a_message_comes_once_however_many_match(audience: Audience) -> None:
    (ann, ann_conn), (bob, bob_conn) = audience.enter("a/b"), audience.enter("a/b")
    for pattern in ("a/+", "a/#", "#", "+/b"):
        assert ann_conn.subscribe(pattern, pattern=True) is True
    assert bob_conn.subscribe("#", pattern=True) is True
    assert audience.server.subscribers("a/b") == 2
    assert audience.server.publish("a/b", "once") == 2
    assert audience.server.publish("a/b", "to Bob", exclude=ann_conn) == 1
    assert audience.server.publish("a", "to both") == 2
    expect(ann, "once", "to both")
    expect(bob, "once", "to Bob", "to both")
    end(ann, bob)


# -- the end of a connection --


@pytest.mark.parametrize("how", ["close", "reset", "eof", "here", "on the loop", "stop"])
def test_one_who_goes_leaves_the_topics(audience: Audience, how: str) -> None:
    (client, conn), (other, _) = audience.enter("a", "b"), audience.enter("b")
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
            assert audience.server.publish("b", "to the other") == 1
            assert conn.topics == []
            return audience.server.topics()

        assert audience.on_loop(close) == {"b": 1}
        expect(other, "to the other")
        assert client.answer_close() == (4000, "")
    else:
        audience.server.stop()
        assert client.answer_close() == (1001, "")
        assert other.answer_close() == (1001, "")
    client.socket.close()
    closed = get(audience.recorder.closed)
    while closed.conn is not conn:
        closed = get(audience.recorder.closed)
    if how != "stop":
        assert audience.server.topics() == {"b": 1}
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


def test_a_connection_of_a_server_that_has_ended(servers: Servers, audience: Audience) -> None:
    client, conn = audience.enter("a")
    client.close()
    client.socket.close()
    get(audience.recorder.closed)
    servers.threads[-1].stop()
    with pytest.raises(wspy.ConnectionClosed):
        conn.subscribe("a")
    assert conn.unsubscribe("a") is False
    assert conn.topics == []
    assert conn.publish("a", "x") == 0
    assert audience.server.broadcast("x", exclude=conn) == 0
    assert audience.server.topics() == {}

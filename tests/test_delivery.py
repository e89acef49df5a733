"""Who gets which messages, in which order, and what is lost: counted by a crowd of clients."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from crowd import CLOSE, EOF, PING, PONG, RESET, Crowd, House, Session, build_crowd, crowd_of
from crowd_server import ASK, DATA, DROP, END, LEAVE, NOTE, VALUE, Rooms, Slow, Storm, Ticker

from wspy.options import Strategy


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_crowd(tmp_path_factory.mktemp("crowd"))


class Outcome(NamedTuple):
    """What came to each connection, and what the server says of it."""

    sessions: list[Session]
    dropped: list[tuple[int, int]]  # of each connection its number, and the messages that it lost
    stats: dict[str, int]


def stop(crowd: Crowd, house: House, folder: Path) -> Outcome:
    """Stops the server, and reads when all have gone."""
    house.call("stop")
    crowd.tell("gone")
    sessions = crowd.sessions(folder)
    return Outcome(sessions, house.call("dropped"), house.call("stats"))


# -- topics --

EACH = 2500  # messages of each of the four publishers


def room_of(word: int) -> int:
    return Rooms.topic_of(word >> 24, word & 0xFFFFFF)


def rooms_order(sessions: Sequence[Session]) -> list[list[int]]:
    """The messages of each topic, in the one order in which all who stayed have got them."""
    orders: list[list[int]] = [[] for _ in range(Rooms.TOPICS)]
    for session in sessions:
        seen: dict[int, list[int]] = defaultdict(list)
        *words, last, closed, end = session.words
        assert (last, closed, end) == (END << 28, CLOSE << 28 | 1001, EOF << 28)
        for word in words:
            assert word >> 28 == DATA
            seen[room_of(word)].append(word)
        assert set(seen) == set(Rooms.topics_of(session.number))
        for topic, got in seen.items():
            orders[topic] = orders[topic] or got
            assert got == orders[topic]
    return orders


def check_publishers(orders: Sequence[Sequence[int]]) -> None:
    """Each message once, and each publisher's in the order of its numbers."""
    for topic, words in enumerate(orders):
        for publisher in range(Rooms.THREADS + 1):
            mine = [word & 0xFFFFFF for word in words if word >> 24 == publisher]
            due = [n for n in range(EACH) if Rooms.topic_of(publisher, n) == topic]
            assert mine == due
    assert sum(map(len, orders)) == EACH * (Rooms.THREADS + 1)


def check_runs(session: Session, places: dict[int, int]) -> int:
    """While it is subscribed, and only then, it gets a topic's messages without a gap: returns how
    many."""
    last: dict[int, int | None] = {}  # of each topic subscribed to: the place of the last message
    n = 0
    for word in session.words:
        kind, value = word >> 28, word & VALUE
        if kind == NOTE and value < 100:
            assert value not in last
            last[value] = None
        elif kind == NOTE:
            del last[value - 100]
        elif kind == DATA:
            topic, place = room_of(word), places[word]
            before = last[topic]
            assert before is None or place == before + 1
            last[topic] = place
            n += 1
        else:
            assert kind in (ASK, LEAVE, DROP, CLOSE, EOF, RESET, END)
    return n


@pytest.mark.timeout(180)
def test_topics(program: Path, strategy: Strategy, tmp_path: Path) -> None:
    """Three threads and the handler publish 10,000 messages to subscribers of whom 40 come, go,
    subscribe and unsubscribe all the time. The others get everything once, and in one order."""
    stay = 400 if strategy == "select" else 1000
    with crowd_of(program, "Rooms", strategy, each=EACH) as (crowd, house):
        crowd.tell(f"open {stay} stay -")
        crowd.tell("open 40 churn a")
        assert house.call("play", stay // 10) == []
        crowd.tell("rest")
        house.call("end")
        crowd.tell(f"ends {stay}")
        sessions, dropped, stats = stop(crowd, house, tmp_path)
    orders = rooms_order(sessions[:stay])
    check_publishers(orders)
    places = {word: place for words in orders for place, word in enumerate(words)}
    churn = sessions[stay:]
    assert sum(check_runs(session, places) for session in churn) > EACH
    ends = Counter(session.words[-1] >> 28 for session in churn)
    assert min(ends[EOF], ends[DROP]) > 10
    # Nothing was dropped but what was on its way to those who went without a word.
    assert [n for number, n in dropped if number < stay] == [0] * stay
    assert stats["dropped_sent"] == sum(n for _, n in dropped)
    assert stats["opened"] == len(sessions)


# -- slow readers --

KIB = 1024
# What is freed, and around what is allocated (make debug).
SANITIZER_KEEPS = 8192 * KIB if "libasan" in os.environ.get("LD_PRELOAD", "") else 0


def open_all(crowd: Crowd, n: int, slow: int) -> None:
    """Connections of one topic, of which the first ``slow`` do not read."""
    crowd.tell(f"open {slow} all s")
    crowd.tell(f"stop 0 {slow}")
    crowd.tell(f"open {n - slow} all -")


def sent_words(session: Session) -> list[int]:
    """The numbers of the messages that came before the end."""
    return [word & VALUE for word in session.words if word >> 28 in (DATA, ASK)]


def check_controls(session: Session, *, pings: Sequence[int], pong: int) -> None:
    """What it was pinged with came in order, and its own ping was answered before messages that
    had waited longer."""
    assert session.values(PING) == list(pings)
    assert session.values(PONG) == [pong]
    behind = session.words[session.words.index(PONG << 28 | pong) :]
    assert any(word >> 28 == DATA for word in behind)


@pytest.mark.timeout(180)
def test_slow_readers_lose_the_oldest(program: Path, strategy: Strategy, tmp_path: Path) -> None:
    """A hundred that do not read, among a thousand: memory is bounded, the others lose nothing."""
    n, slow = (400, 40) if strategy == "select" else (1000, 100)
    bound = 256 * KIB
    options = {"backlog_policy": "drop-oldest", "max_backlog": bound, "high_water": 16 * bound}
    with crowd_of(program, "Slow", strategy, slow=slow, **options) as (crowd, house):
        open_all(crowd, n, slow)
        house.call("load", 1, n - slow)
        before = house.call("resident")
        house.call("load", 8, n - slow)
        house.call("ping", 1)
        crowd.tell(f"ping 0 {slow} 7")
        total = house.call("load", 8, n - slow)
        house.call("ping", 2)
        grown = house.call("resident") - before
        assert grown <= slow * (bound + 64 * KIB) + SANITIZER_KEEPS
        crowd.tell(f"read 0 {slow}")
        assert house.call("end") == n
        crowd.tell(f"ends {n}")
        sessions, lost, stats = stop(crowd, house, tmp_path)
        dropped = dict(lost)
    for session in sessions[:slow]:
        numbers = sent_words(session)
        assert numbers == sorted(set(numbers))
        assert numbers[-1] == total - 1
        assert dropped[session.number] > 0
        assert len(numbers) + dropped[session.number] == total
        check_controls(session, pings=[1, 2], pong=7)
    others = sent_words(sessions[slow])
    assert len(others) == 17 * (Slow.WINDOW + 1)
    for session in sessions[slow:]:
        assert sent_words(session) == others
        assert dropped[session.number] == 0
    assert stats["dropped_sent"] == sum(dropped.values())


def test_slow_readers_lose_the_newest(program: Path, strategy: Strategy, tmp_path: Path) -> None:
    n, slow = 100, 20
    bound = 64 * KIB
    options = {"backlog_policy": "drop-newest", "max_backlog": bound, "high_water": 16 * bound}
    with crowd_of(program, "Slow", strategy, slow=slow, **options) as (crowd, house):
        open_all(crowd, n, slow)
        house.call("load", 2, n - slow)
        house.call("ping", 1)
        crowd.tell(f"ping 0 {slow} 7")
        total = house.call("load", 8, n - slow)
        crowd.tell(f"read 0 {slow}")
        house.call("drain")
        assert house.call("end") == n
        crowd.tell(f"ends {n}")
        sessions, lost, stats = stop(crowd, house, tmp_path)
        dropped = dict(lost)
    for session in sessions[:slow]:
        numbers = sent_words(session)
        assert numbers == sorted(set(numbers))
        # There was room for these. Later the kernel may take something now and then.
        assert numbers[:50] == list(range(50))
        assert 0 < dropped[session.number] == total - len(numbers)
        check_controls(session, pings=[1], pong=7)
    for session in sessions[slow:]:
        assert len(sent_words(session)) == 10 * (Slow.WINDOW + 1)
    assert stats["dropped_sent"] == sum(dropped.values())


def test_slow_readers_are_closed(program: Path, strategy: Strategy, tmp_path: Path) -> None:
    n, slow = 100, 20
    options = {"backlog_policy": "close", "max_backlog": 64 * KIB}
    with crowd_of(program, "Slow", strategy, slow=slow, **options) as (crowd, house):
        open_all(crowd, n, slow)
        house.call("load", 10, n - slow)
        crowd.tell(f"read 0 {slow}")
        assert house.call("end") == n - slow
        crowd.tell(f"ends {n - slow}")
        sessions, lost, stats = stop(crowd, house, tmp_path)
        dropped = dict(lost)
        kinds = house.call("kinds")
    for session in sessions[:slow]:
        numbers = sent_words(session)
        assert numbers == list(range(len(numbers)))  # up to where it was closed
        assert session.values(CLOSE) == [1013]
        assert session.words[-1] >> 28 == EOF
        assert dropped[session.number] > 0
    for session in sessions[slow:]:
        assert len(sent_words(session)) == 10 * (Slow.WINDOW + 1)
    assert kinds == {"backlog": slow, "shutdown": n - slow}
    assert stats["dropped_sent"] == sum(dropped.values())


# -- keys --

CYCLES = 3


def check_prices(session: Session, slow_cycle: int, rounds: int) -> int:
    """At the end of each cycle it knows the last price of every key; of a cycle in which it was
    not slow, every one. Returns how many messages came."""
    prices: dict[int, list[int]] = defaultdict(list)
    n = cycle = 0
    for word in session.words:
        kind, value = word >> 28, word & VALUE
        if kind == DATA:
            prices[value >> 20].append(value & 0xFFFFF)
        elif kind == END:
            assert value == cycle
            due = list(range(cycle * rounds + 1, (cycle + 1) * rounds + 1))
            assert set(prices) == set(range(Ticker.KEYS))
            for got in prices.values():
                assert got[-1] == due[-1]
                assert set(got) <= set(due)
                assert got == sorted(got)
                assert (len(got) == rounds) == (cycle != slow_cycle)
            prices.clear()
            cycle += 1
        n += kind in (DATA, ASK)
    assert cycle == CYCLES
    return n


def test_ticker(program: Path, strategy: Strategy, tmp_path: Path) -> None:
    """Five of twenty stop reading, and read again, then the next five, three times."""
    n, slow, windows = 20, 5, 40
    # The last of each key, and what was on its way when the kernel took no more: a window.
    bound = (Ticker.WINDOW + 1) * (Ticker.KEYS + 1) * (Ticker.SIZE + 4)
    with crowd_of(program, "Ticker", strategy) as (crowd, house):
        crowd.tell(f"open {CYCLES * slow} prices s")
        crowd.tell(f"open {n - CYCLES * slow} prices -")
        for cycle in range(CYCLES):
            first, end = cycle * slow, cycle * slow + slow
            crowd.tell(f"stop {first} {end}")
            assert 0 < house.call("play", windows, n - slow, [first, end]) <= bound
            crowd.tell(f"read {first} {end}")
            house.call("drain")
            house.call("end", cycle)
            crowd.tell(f"ends {n * (cycle + 1)}")
        sessions, lost, stats = stop(crowd, house, tmp_path)
        dropped = dict(lost)
    rounds = windows * Ticker.WINDOW
    total = CYCLES * (rounds * Ticker.KEYS + windows)
    for session in sessions:
        got = check_prices(session, session.number // slow, rounds)
        assert got + dropped[session.number] == total
    assert stats["dropped_sent"] == 0
    assert stats["replaced"] == sum(dropped.values()) > 0


# -- many threads --

STAY, SLOW, CHURN = 50, 20, 130
# For each strategy another policy: they know nothing of one another.
STORMS = {"select": "drop-newest", "poll": "close", "epoll": "drop-oldest"}


def count_words(sessions: Sequence[Session]) -> Counter[int]:
    """How often each message came. Every thread's numbers ascend."""
    words: Counter[int] = Counter()
    for session in sessions:
        last: dict[int, int] = {}
        came = [word & VALUE for word in session.words if word >> 28 in (DATA, LEAVE)]
        for word in came:
            thread, number = word >> 23, word & 0x7FFFFF
            assert number > last.get(thread, -1)
            last[thread] = number
        words.update(came)
    return words


@pytest.mark.timeout(180)
def test_storm(program: Path, strategy: Strategy, tmp_path: Path) -> None:
    """Twenty threads send, publish and close: what was taken came, or is counted as dropped."""
    policy, bound = STORMS[strategy], 64 * KIB
    # Where the policy closes anybody may go, and comes again; so nobody has a topic all along.
    again = "a" if policy == "close" else "-"
    options = {"backlog_policy": policy, "max_backlog": bound, "publishes": again == "-"}
    with crowd_of(program, "Storm", strategy, **options) as (crowd, house):
        crowd.tell(f"open {STAY} stay {again}")
        crowd.tell(f"open {SLOW} slow s{again}")
        crowd.tell(f"stop {STAY} {STAY + SLOW}")
        crowd.tell(f"open {CHURN} churn a")
        counts = Counter(house.call("play"))
        crowd.tell("rest")
        crowd.tell(f"read {STAY} {STAY + SLOW}")
        house.call("drain")
        sessions, dropped, stats = stop(crowd, house, tmp_path)
    words = count_words(sessions)
    for word, n in words.items():
        assert n <= (STAY if options["publishes"] and Storm.is_publish(word & 0x7FFFFF) else 1)
    assert counts["receivers"] == STAY * counts["publishes"]
    taken = counts["accepted"] + counts["receivers"]
    assert taken == sum(words.values()) + stats["dropped_sent"]
    assert stats["dropped_sent"] == sum(n for _, n in dropped) > 0
    assert counts["closes"] > 50
    assert len(sessions) > STAY + SLOW + CHURN
    # Each of the threads may find room for one message more. Where the oldest go, what was posted
    # may be as much as what it will take the place of.
    bound *= 2 if policy == "drop-oldest" else 1
    assert counts["highest"] <= bound + (Storm.THREADS + 1) * (max(Storm.SIZES) + 4)

"""A server in a process of its own, for a crowd (crowd.py): each class is a scenario, whose methods
are called by lines of JSON.

Run as ``python crowd_server.py SCENARIO OPTIONS``.
"""

from __future__ import annotations

import contextlib
import json
import random
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import wspy

# The top four bits of a message's word (c/crowd.c); the rest is its value.
DATA, ASK, LEAVE, DROP, END, NOTE = range(6)
VALUE = (1 << 28) - 1

PATIENCE = 60  # seconds, after which something has gone wrong


def message(kind: int, value: int, size: int = 16) -> str:
    """A message as crowd.c takes it, of that many bytes."""
    word = kind << 28 | value
    return f"{word:08x}{size:08x}" + chr(ord("a") + word % 26) * (size - 16)


def number_of(conn: wspy.Connection) -> int:
    """The client's own number of a connection."""
    return int(conn.path.rsplit("/", 1)[1])


def resident_bytes() -> int:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmRSS"))


class Scenario:
    """A server that runs, keeps its connections for ever, and counts the answers to what it asks."""

    def __init__(self, **options: Any) -> None:
        self.conns: list[wspy.Connection] = []
        self.answers: Counter[int] = Counter()
        self.answered = threading.Condition()
        self.server = wspy.Server(port=0, ping_interval=None, **options)
        self.server.on_open(self.on_open)
        self.server.on_message(self.on_message)
        self.thread = self.server.start_in_thread()

    # -- handlers --

    def on_open(self, conn: wspy.Connection) -> None:
        self.conns.append(conn)

    def on_message(self, conn: wspy.Connection, text: str | bytes) -> None:
        """An answer: the word that was asked."""
        with self.answered:
            self.answers[int(text, 16) & VALUE] += 1
            self.answered.notify()

    # -- for the scenarios --

    def on_loop(self, function: Callable[..., object], *arguments: object) -> None:
        """Runs it on the loop's thread, and waits for its end."""
        done = threading.Event()

        def work() -> None:
            function(*arguments)
            done.set()

        self.server.call_soon(work)
        assert done.wait(PATIENCE)

    def wait_for_answers(self, value: int, n: int) -> None:
        with self.answered:
            assert self.answered.wait_for(lambda: self.answers[value] >= n, PATIENCE)

    # -- what a test asks --

    def port(self) -> int:
        return self.server.port

    def strategy(self) -> str:
        return self.server.strategy

    def resident(self) -> int:
        return resident_bytes()

    def stats(self) -> dict[str, int]:
        return self.server.stats()

    def dropped(self) -> list[tuple[int, int]]:
        """Of each connection its client's number, and the messages that it lost."""
        return [(number_of(conn), conn.dropped) for conn in self.conns]

    def kinds(self) -> dict[str, int]:
        """How many connections ended in which way."""
        return Counter(str(conn.close_kind) for conn in self.conns)

    def drain(self) -> None:
        """Returns when nothing waits to be sent."""
        drained = threading.Event()

        def look() -> None:
            if not any(conn.backlog for conn in self.conns):
                drained.set()

        timer = self.server.every(0.002, look)
        assert drained.wait(PATIENCE)
        timer.cancel()

    def end(self, value: int = 0) -> int:
        """The last message to all, behind all others."""
        return self.server.broadcast(message(END, value))

    def stop(self) -> None:
        self.thread.stop()


class Rooms(Scenario):
    """Topics that are published to by threads and by the handler, while others come and go.

    /stay/N is subscribed to two topics all along. /churn/N is asked again and again, and with each
    answer subscribes, unsubscribes or goes, which lets every publisher publish a little more: so
    that nothing of it happens in a quiet moment.
    """

    TOPICS = 20
    THREADS = 3  # and the handler is one more publisher
    STEP = 2  # messages for each answer

    def __init__(self, each: int, **options: Any) -> None:
        self.each = each  # messages of a publisher
        self.random = random.Random(6455)
        self.permits = [threading.Semaphore(0) for _ in range(self.THREADS)]
        self.handled = 0
        self.over = threading.Event()
        self.few: list[str] = []  # publishes that reached too few
        self.members = 0
        super().__init__(**options)

    @staticmethod
    def topic_of(publisher: int, number: int) -> int:
        return (number * 7 + publisher) % Rooms.TOPICS

    @staticmethod
    def topics_of(member: int) -> tuple[int, int]:
        first = member % Rooms.TOPICS
        step = 1 + member // Rooms.TOPICS % (Rooms.TOPICS - 1)
        return first, (first + step) % Rooms.TOPICS

    # -- who subscribes --

    def on_open(self, conn: wspy.Connection) -> None:
        super().on_open(conn)
        if conn.path.startswith("/churn/"):
            conn.send(message(ASK, 0))
            return
        first, second = self.topics_of(number_of(conn))
        conn.subscribe(f"room/{first}")
        if conn.id % 2:  # in two ways, and each message comes once
            conn.subscribe(f"+/{first}", pattern=True)
        conn.subscribe(f"+/{second}", pattern=True)

    def on_message(self, conn: wspy.Connection, text: str | bytes) -> None:
        if self.over.is_set():
            return
        self.move(conn)
        for permit in self.permits:
            permit.release()
        numbers = range(self.handled, min(self.handled + self.STEP, self.each))
        self.handled += self.STEP
        self.publish(self.THREADS, numbers)
        if self.handled >= self.each:
            self.over.set()
        if conn.is_open:
            conn.send(message(ASK, 0))

    def move(self, conn: wspy.Connection) -> None:
        """Says what it does: NOTE with a topic is its subscription's beginning, + 100 its end."""
        topics = [int(topic.rsplit("/", 1)[1]) for topic in conn.topics]
        what = self.random.randrange(8)
        if what == 0 and topics:
            conn.send(message(self.random.choice((LEAVE, DROP)), 0))
        elif what == 1 and topics:
            conn.close(4000)
        elif what < 5 and topics:
            topic = self.random.choice(topics)
            conn.unsubscribe(f"room/{topic}")
            conn.unsubscribe(f"+/{topic}", pattern=True)
            conn.send(message(NOTE, topic + 100))
        else:
            topic = self.random.randrange(self.TOPICS)
            if topic not in topics:
                pattern = bool(self.random.randrange(2))
                conn.subscribe(f"+/{topic}" if pattern else f"room/{topic}", pattern=pattern)
                conn.send(message(NOTE, topic))

    # -- who publishes --

    def publish(self, publisher: int, numbers: range) -> None:
        for number in numbers:
            topic = self.topic_of(publisher, number)
            word = publisher << 24 | number
            n = self.server.publish(f"room/{topic}", message(DATA, word, 16 + number % 40))
            if n < self.members:
                self.few.append(f"{n} for message {word:08x}")

    def publish_all(self, publisher: int) -> None:
        for number in range(0, self.each, self.STEP):
            self.permits[publisher].acquire()
            self.publish(publisher, range(number, min(number + self.STEP, self.each)))

    def play(self, members: int) -> list[str]:
        """Publishes everything; each topic has that many subscribers all along."""
        self.members = members
        threads = [
            threading.Thread(target=self.publish_all, args=(i,), daemon=True)
            for i in range(self.THREADS)
        ]
        for thread in threads:
            thread.start()
        assert self.over.wait(PATIENCE)
        for thread in threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()
        return self.few


class Slow(Scenario):
    """Readers of one topic, in numbered messages: /all/N gets them all, and those with a number
    below ``slow`` get others in between, each its own. Every window is answered by those who read
    before the next one begins. Windows are sent by the main thread and by the loop's in turns."""

    WINDOW = 16
    SHARED_SIZE, OWN_SIZE = 100, 1800

    def __init__(self, slow: int, **options: Any) -> None:
        self.slow = slow
        self.number = 0
        super().__init__(**options)

    def on_open(self, conn: wspy.Connection) -> None:
        super().on_open(conn)
        conn.subscribe("all")

    def next_number(self) -> int:
        self.number += 1
        return self.number - 1

    def slow_conns(self) -> Iterator[wspy.Connection]:
        return (conn for conn in self.conns if number_of(conn) < self.slow and conn.is_open)

    def send_window(self) -> None:
        for _ in range(self.WINDOW):
            self.server.publish("all", message(DATA, self.next_number(), self.SHARED_SIZE))
            own = message(DATA, self.next_number(), self.OWN_SIZE)
            for conn in self.slow_conns():
                with contextlib.suppress(wspy.ConnectionClosed):
                    conn.send(own)
        self.server.publish("all", message(ASK, self.next_number()))

    def load(self, windows: int, readers: int) -> int:
        """Returns how many messages there have been, those for the slow ones included."""
        for i in range(windows):
            self.send_window() if i % 2 else self.on_loop(self.send_window)
            self.wait_for_answers(self.number - 1, readers)
        return self.number

    def ping(self, value: int) -> None:
        for conn in self.slow_conns():
            conn.ping(f"{value:08x}")


class Ticker(Scenario):
    """Prices of many keys, in rounds: /prices/N gets them all, some from a topic and some for
    itself. Every window of rounds is answered by those who read before the next one begins."""

    TOPIC_KEYS, KEYS = 20, 30
    WINDOW = 4
    SIZE = 300

    def __init__(self, **options: Any) -> None:
        self.round = 0
        super().__init__(**options)

    def on_open(self, conn: wspy.Connection) -> None:
        super().on_open(conn)
        conn.subscribe("prices")

    def send_window(self) -> None:
        for _ in range(self.WINDOW):
            self.round += 1
            for key in range(self.KEYS):
                price = message(DATA, key << 20 | self.round, self.SIZE)
                if key < self.TOPIC_KEYS:
                    self.server.publish("prices", price, key=f"key {key}")
                    continue
                for conn in self.conns:
                    conn.send(price, key=f"key {key}")
        self.server.publish("prices", message(ASK, self.round), key="ask")

    def play(self, windows: int, readers: int, slow: list[int]) -> int:
        """Returns how much waited at most for one of the connections from slow[0] up to slow[1]."""
        highest = 0
        for i in range(windows):
            self.send_window() if i % 2 else self.on_loop(self.send_window)
            self.wait_for_answers(self.round, readers)
            waiting = [conn.backlog for conn in self.conns if number_of(conn) in range(*slow)]
            highest = max(highest, *waiting)
        return highest


class Storm(Scenario):
    """Many threads that send, publish and close. /stay/N has a topic, if there are to be topics;
    /churn/N is closed now and then, and comes again; /slow/N is neither."""

    THREADS = 20
    EACH = 10_000
    SIZES = (16, 100, 500)

    def __init__(self, publishes: bool, **options: Any) -> None:
        self.publishes = publishes
        self.slots: dict[int, wspy.Connection] = {}
        super().__init__(**options)

    def on_open(self, conn: wspy.Connection) -> None:
        super().on_open(conn)
        self.slots[number_of(conn)] = conn
        if conn.path.startswith("/stay/"):
            conn.subscribe("stay")

    @staticmethod
    def is_publish(number: int) -> bool:
        return number % 100 == 99 and number % 1000 != 999

    def work(self, thread: int, counts: Counter[str], barrier: threading.Barrier) -> None:
        choose = random.Random(thread)
        barrier.wait(PATIENCE)
        for number in range(self.EACH):
            conn = self.slots[choose.randrange(len(self.slots))]
            text = message(DATA, thread << 23 | number, self.SIZES[number % 3])
            if self.publishes and self.is_publish(number):
                counts["publishes"] += 1
                counts["receivers"] += self.server.publish("stay", text)
            elif number % 1000 == 999:
                if conn.path.startswith("/churn/"):
                    self.close(conn, thread << 23 | number, counts)
            else:
                self.send(conn, text, counts)
            if number % 50 == 0:
                counts["highest"] = max(counts["highest"], conn.backlog)
            if number % 500 == 0:
                self.on_loop(int)  # a wake-up that got lost would stop it here

    def close(self, conn: wspy.Connection, word: int, counts: Counter[str]) -> None:
        """Closes, or has the peer close, so that others send to what they do not know is closing."""
        counts["closes"] += 1
        if (word & 0x7FFFFF) % 2000 < 1000:
            conn.close(4000)
        else:
            self.send(conn, message(LEAVE, word), counts)

    def send(self, conn: wspy.Connection, text: str, counts: Counter[str]) -> None:
        try:
            conn.send(text)
            counts["accepted"] += 1
        except wspy.ConnectionClosed:
            counts["refused"] += 1

    def play(self) -> dict[str, int]:
        barrier = threading.Barrier(self.THREADS)
        counts: list[Counter[str]] = [Counter() for _ in range(self.THREADS)]
        threads = [
            threading.Thread(target=self.work, args=(i, counts[i], barrier), daemon=True)
            for i in range(self.THREADS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()
        total = sum(counts, Counter[str]())
        total["highest"] = max(each["highest"] for each in counts)
        return total


def main() -> None:
    scenario = globals()[sys.argv[1]](**json.loads(sys.argv[2]))
    for line in sys.stdin:
        method, *arguments = json.loads(line)
        print(json.dumps(getattr(scenario, method)(*arguments)), flush=True)


if __name__ == "__main__":
    main()

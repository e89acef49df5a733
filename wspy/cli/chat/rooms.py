"""Rooms, the people in them, and what was said there last."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from contextlib import suppress

from ... import Connection, ConnectionClosed
from .limits import Bucket, Limits
from .wire import Event, write
from .words import skeleton


class Full(Exception):
    """There is no place; the text says where."""


class Person:
    """Who is behind a connection. The name and the room are set once they have joined."""

    def __init__(self, conn: Connection, bucket: Bucket) -> None:
        self.conn = conn
        self.bucket = bucket
        self.name = ""
        self.session = ""
        self.room: Room | None = None

    # Who does not read is closed by the server's max_backlog, whichever of these it is.

    def tell(self, event: Event) -> None:
        with suppress(ConnectionClosed):
            self.conn.send(write(event))

    def tell_others(self, event: Event) -> None:
        """Tells all in the room but this person."""
        assert self.room is not None
        self.conn.publish(self.room.topic, write(event))

    def tell_all(self, event: Event) -> None:
        """Tells all in the room."""
        assert self.room is not None
        self.conn.server.publish(self.room.topic, write(event))


class Room:
    """The people of one room by the skeletons of their names, its history and recent ids.

    They subscribe to its topic, so that what all are told is written once.
    """

    def __init__(self, name: str, limits: Limits) -> None:
        self.name = name
        self.topic = f"room {name}"
        self._limits = limits
        self._people: dict[str, Person] = {}
        self._history: deque[tuple[Event, int]] = deque()
        self._history_bytes = 0
        self._remembered: dict[str, None] = {}  # in the order in which they came

    def __len__(self) -> int:
        return len(self._people)

    def __iter__(self) -> Iterator[Person]:
        return iter(self._people.values())

    # -- people --

    def add(self, person: Person, wanted: str) -> None:
        """Gives the person a name that nobody here has, and a place."""
        if len(self._people) >= self._limits.people:
            raise Full("this room is full")
        person.name = self._free_name(wanted)
        person.room = self
        person.conn.subscribe(self.topic)
        self._people[skeleton(person.name)] = person

    def remove(self, person: Person) -> None:
        del self._people[skeleton(person.name)]
        person.conn.unsubscribe(self.topic)
        person.room = None

    def rename(self, person: Person, wanted: str) -> None:
        del self._people[skeleton(person.name)]
        person.name = self._free_name(wanted)
        self._people[skeleton(person.name)] = person

    def find_session(self, session: str) -> Person | None:
        """Who came with that session. The empty one is nobody's."""
        return next((p for p in self if session and p.session == session), None)

    def _free_name(self, wanted: str) -> str:
        if wanted and skeleton(wanted) not in self._people:
            return wanted
        for number in itertools.count(2 if wanted else 1):
            name = f"{wanted} ({number})" if wanted else f"guest {number}"
            if skeleton(name) not in self._people:
                return name
        raise AssertionError  # count() has no end

    # -- messages --

    @property
    def history(self) -> list[Event]:
        """The last messages, the oldest first."""
        return [event for event, _ in self._history]

    def is_known(self, message_id: str) -> bool:
        return message_id in self._remembered

    def remember(self, message: Event) -> None:
        size = len(write(message).encode())
        self._history.append((message, size))
        self._history_bytes += size
        while (
            len(self._history) > self._limits.history
            or self._history_bytes > self._limits.history_bytes
        ):
            self._history_bytes -= self._history.popleft()[1]
        self._remembered[message["id"]] = None
        if len(self._remembered) > self._limits.remembered:
            del self._remembered[next(iter(self._remembered))]


class Rooms:
    """All rooms. One that all have left keeps its history until its place is needed."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._rooms: dict[str, Room] = {}  # the one that was left longest ago comes first

    def __len__(self) -> int:
        return len(self._rooms)

    def get(self, name: str) -> Room:
        """The room of that name, made if there is none."""
        room = self._rooms.get(name)
        if room is None:
            if len(self._rooms) >= self._limits.rooms:
                self._forget_one()
            room = self._rooms[name] = Room(name, self._limits)
        return room

    def left(self, room: Room) -> None:
        """Somebody left: the room goes, or moves to the end of the line."""
        if not room:
            del self._rooms[room.name]
            if room.history:
                self._rooms[room.name] = room

    def _forget_one(self) -> None:
        empty = next((room for room in self._rooms.values() if not room), None)
        if empty is None:
            raise Full("there are too many rooms")
        del self._rooms[empty.name]

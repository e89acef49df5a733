"""The chat's handlers: what a client sent, and who is told."""

from __future__ import annotations

import time
from collections.abc import Callable

from ... import Connection, Server
from ...options import Strategy
from .. import demo
from .limits import Bucket, Limits
from .rooms import Full, Person, Rooms
from .wire import BadEvent, Event, get_key, get_str, message_id, read
from .words import clean_name, clean_text

PAGES = {
    "/": "chat.html",
    "/chat.css": "chat.css",
    "/chat.js": "chat.js",
    "/link.js": "link.js",
    "/outbox.js": "outbox.js",
    "/store.js": "store.js",
    "/text.js": "text.js",
    "/theme.js": "theme.js",
    "/view.js": "view.js",
}

DEFAULT_ROOM = "lobby"

# Close codes: those of RFC 6455 section 7.4.1, and one of the range that section 7.4.2 leaves
# to applications.
UNSUPPORTED, POLICY, TRY_LATER, REPLACED = 1003, 1008, 1013, 4000


class Chat:
    """The handlers of one server. They run on its thread, one at a time: there is no lock."""

    def __init__(
        self,
        limits: Limits,
        clock: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._ticks = ticks
        self._rooms = Rooms(limits)
        self._events: dict[str, Callable[[Person, Event], None]] = {
            "join": self._join,
            "name": self._rename,
            "say": self._say,
            "typing": self._typing,
            "ping": self._ping,
        }

    def attach(self, server: Server) -> None:
        server.on_open(self.open)
        server.on_message(self.message)
        server.on_close(self.close)

    # -- connections --

    def open(self, conn: Connection) -> None:
        bucket = Bucket(self._limits.burst, self._limits.rate, self._ticks)
        conn.person = Person(conn, bucket)

    def message(self, conn: Connection, message: str | bytes) -> None:
        person: Person = conn.person
        # Before it is looked at: what is too much costs next to nothing.
        left = person.bucket.take()
        if left < -self._limits.patience:
            return end(person, POLICY, "flood", "you send too much")
        if left < 0:
            return person.tell({"type": "slow", "wait": person.bucket.wait()})
        if isinstance(message, bytes):
            return end(person, UNSUPPORTED, "bad-event", "this chat speaks text")
        try:
            self._take(person, read(message))
        except BadEvent as exc:
            end(person, POLICY, "bad-event", str(exc))
        except Full as exc:
            end(person, TRY_LATER, "full", str(exc))
        return None

    def close(self, conn: Connection, code: int, reason: str) -> None:
        self._leave(conn.person)

    # -- events --

    def _take(self, person: Person, event: Event) -> None:
        handler = self._events.get(event["type"])
        if handler is None:
            raise BadEvent('no such "type"')
        if person.room is None and handler not in (self._join, self._ping):
            raise BadEvent("join first")
        handler(person, event)

    def _join(self, person: Person, event: Event) -> None:
        name = clean_name(get_str(event, "name", ""), self._limits.name)
        room_name = clean_name(get_str(event, "room", "").casefold(), self._limits.room)
        session = get_str(event, "session", "")[:64]
        self._leave(person)
        room = self._rooms.get(room_name or DEFAULT_ROOM)
        # The same page again, whose old connection is dead and has not been noticed yet.
        ghost = room.find_session(session)
        if ghost is not None:
            room.remove(ghost)
            ghost.conn.close(REPLACED, "replaced by a newer connection")
        room.add(person, name)
        person.session = session
        person.tell(
            {
                "type": "welcome",
                "room": room.name,
                "you": person.name,
                "people": [other.name for other in room],
                "history": room.history,
            }
        )
        if ghost is None:
            person.tell_others({"type": "join", "name": person.name})
        elif ghost.name != person.name:
            person.tell_others({"type": "renamed", "from": ghost.name, "to": person.name})

    def _leave(self, person: Person) -> None:
        room = person.room
        if room is not None:
            person.tell_others({"type": "leave", "name": person.name})
            room.remove(person)
            self._rooms.left(room)

    def _rename(self, person: Person, event: Event) -> None:
        wanted = clean_name(get_str(event, "name"), self._limits.name)
        assert person.room is not None
        old = person.name
        person.room.rename(person, wanted)
        renamed = {"type": "renamed", "from": old, "to": person.name}
        if person.name != old:
            person.tell_all(renamed)
        else:
            person.tell(renamed)

    def _say(self, person: Person, event: Event) -> None:
        key = get_key(event)
        text = clean_text(get_str(event, "text"))
        if not text or len(text) > self._limits.text:
            why = "too long" if text else "empty"
            return person.tell({"type": "refused", "key": key, "why": why})
        assert person.room is not None
        name = message_id(key)
        if not person.room.is_known(name):
            message = {"id": name, "name": person.name, "at": int(self._clock() * 1000)}
            message["text"] = text
            person.room.remember(message)
            person.tell_all({"type": "message", **message})
        # After the message: whoever has this has seen what it is about.
        return person.tell({"type": "ack", "key": key, "id": name})

    def _typing(self, person: Person, event: Event) -> None:
        person.tell_others({"type": "typing", "name": person.name})

    def _ping(self, person: Person, event: Event) -> None:
        person.tell({"type": "pong"})


def end(person: Person, code: int, why: str, text: str) -> None:
    """Says why, and closes."""
    person.tell({"type": "error", "code": why, "text": text})
    person.conn.close(code, text)


def make_server(
    host: str, port: int, strategy: Strategy = "auto", limits: Limits | None = None
) -> Server:
    """A chat server, bound and ready to run."""
    limits = limits or Limits()
    server = Server(host, port, strategy=strategy, max_message_size=limits.frame)
    demo.add_pages(server, __package__, PAGES)
    Chat(limits).attach(server)
    return server

"""Programs in the manner of the websockets library's documentation, run twice: with that library's
server and, only their import changed, with wspy.aio. Their clients have to see the same."""

from __future__ import annotations

import asyncio
import json
import types
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from conftest import Records
from loops import run, soon
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from wspy.serving import LoopName

THEIRS = """
from websockets.asyncio.server import basic_auth, broadcast, serve
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, ConnectionClosedOK
"""
OURS = """
from wspy.aio import basic_auth, broadcast, serve
from wspy.aio import ConnectionClosed, ConnectionClosedError, ConnectionClosedOK
"""

Seen = list[object]


class Visit:
    """Clients of a program, and what they have seen."""

    def __init__(self, port: int) -> None:
        self.url = f"ws://localhost:{port}"
        self.port = port
        self.seen: Seen = []

    async def connect(self, path: str = "/", **options: Any) -> ClientConnection:
        return await connect(self.url + path, compression=None, **options)

    async def receive(self, client: ClientConnection, n: int = 1) -> None:
        for _ in range(n):
            self.seen.append(await soon(client.recv()))

    async def end(self, client: ClientConnection) -> None:
        """What comes up to the end."""
        try:
            while True:
                await self.receive(client)
        except ConnectionClosed:
            self.seen.append((client.close_code, client.close_reason))

    async def refusal(self, path: str = "/", **options: Any) -> None:
        try:
            await self.connect(path, **options)
        except InvalidStatus as exc:
            fields = {name.lower() for name in exc.response.headers}
            self.seen.append((exc.response.status_code, "www-authenticate" in fields))

    async def get(self, path: str) -> None:
        """The status line and the body of an answer to a plain request."""
        reader, writer = await asyncio.open_connection("localhost", self.port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost:{self.port}\r\n\r\n".encode())
        answer = await soon(reader.read())
        writer.close()
        await writer.wait_closed()
        head, _, body = answer.partition(b"\r\n\r\n")
        self.seen.append((head.split(b"\r\n")[0], body))


PROGRAMS: dict[str, tuple[str, Callable[[Visit], Awaitable[None]]]] = {}


def program(source: str) -> Callable[[Callable[[Visit], Awaitable[None]]], None]:
    """Its ``handler``, and ``options`` for serve() if it has some; visited by the function."""

    def add(visit: Callable[[Visit], Awaitable[None]]) -> None:
        PROGRAMS[visit.__name__] = source, visit

    return add


@program("""
async def handler(websocket):
    async for message in websocket:
        await websocket.send(message)
""")
async def echo(visit: Visit) -> None:
    client = await visit.connect()
    for message in ("text", b"\x00\xff", "", "x" * 100_000, "€"):
        await client.send(message)
        await visit.receive(client)
    await client.close(1001)
    await visit.end(client)


@program("""
async def handler(websocket):
    name = await websocket.recv()
    await websocket.send(f"Good day, {name}.")
""")
async def hello(visit: Visit) -> None:
    client = await visit.connect()
    await client.send("Ann")
    await visit.end(client)


@program("""
import json

PEOPLE = set()
value = 0

def tell_people():
    broadcast(PEOPLE, json.dumps({"people": len(PEOPLE)}))

async def handler(websocket):
    global value
    try:
        PEOPLE.add(websocket)
        tell_people()
        await websocket.send(json.dumps({"value": value}))
        async for text in websocket:
            step = json.loads(text).get("step")
            if step not in (1, -1):
                await websocket.close(1008, f"no step: {step}")
                return
            value += step
            broadcast(PEOPLE, json.dumps({"value": value}))
    finally:
        PEOPLE.discard(websocket)
        tell_people()
""")
async def counter(visit: Visit) -> None:
    first = await visit.connect()
    await visit.receive(first, 2)
    second = await visit.connect()
    await visit.receive(second, 2)
    for step in (1, 1, -1):
        await second.send(json.dumps({"step": step}))
        await visit.receive(first)
        await visit.receive(second)
    await visit.receive(first)  # the second came between
    await second.close()
    await visit.receive(first)
    await first.send(json.dumps({"step": 5}))
    await visit.end(first)


@program("""
import asyncio

CLIENTS = set()

async def handler(websocket):
    CLIENTS.add(websocket)
    try:
        await websocket.send(f"{len(CLIENTS)}")
        await websocket.wait_closed()
    finally:
        CLIENTS.remove(websocket)

async def beside(server):
    number = 0
    while True:
        await asyncio.sleep(0.001)
        if len(CLIENTS) == 2:
            broadcast(CLIENTS, f"tick {number}")
            number += 1
            if number == 5:
                return
""")
async def show_time(visit: Visit) -> None:
    clients = [await visit.connect() for _ in range(2)]
    for client in clients:
        await visit.receive(client, 6)
        await client.close()


@program("""
import asyncio

async def consume(websocket, questions):
    async for message in websocket:
        await questions.put(message)
    await questions.put(None)

async def produce(websocket, questions):
    while (question := await questions.get()) is not None:
        await websocket.send(f"answer to {question}")

async def handler(websocket):
    questions = asyncio.Queue()
    consumer = asyncio.create_task(consume(websocket, questions))
    producer = asyncio.create_task(produce(websocket, questions))
    done, pending = await asyncio.wait(
        [consumer, producer], return_when=asyncio.FIRST_COMPLETED
    )
    for task in pending:
        task.cancel()
        try:
            await task
        except (asyncio.CancelledError, ConnectionClosed):
            pass
""")
async def consumer_and_producer(visit: Visit) -> None:
    client = await visit.connect()
    for number in range(20):
        await client.send(str(number))
    await visit.receive(client, 20)
    await client.close()
    await visit.end(client)


@program("""
import asyncio

async def handler(websocket):
    while True:
        try:
            message = await asyncio.wait_for(websocket.recv(), 0.01)
        except asyncio.TimeoutError:
            await websocket.send("are you there?")
            message = await websocket.recv()
        except ConnectionClosedOK:
            return
        await websocket.send(f"got {message}")
""")
async def receive_with_timeout(visit: Visit) -> None:
    client = await visit.connect()
    await visit.receive(client)
    for number in range(3):
        await client.send(str(number))
        while not str(visit.seen[-1]).startswith(f"got {number}"):
            await visit.receive(client)
    visit.seen = [item for item in visit.seen if item != "are you there?"]
    await client.close()
    await visit.end(client)


@program("""
import http

def health(connection, request):
    if request.path == "/healthz":
        return connection.respond(http.HTTPStatus.OK, "fine\\n")

async def handler(websocket):
    await websocket.send(websocket.request.path)

options = {"process_request": health}
""")
async def health_check(visit: Visit) -> None:
    await visit.get("/healthz")
    await visit.refusal("/healthz")
    client = await visit.connect("/other?a=b")
    await visit.end(client)


@program("""
async def handler(websocket):
    await websocket.send(f"welcome, {websocket.username}")

options = {"process_request": basic_auth(realm="here", credentials=[("ann", "one"), ("bob", "two")])}
""")
async def authentication(visit: Visit) -> None:
    await visit.refusal()
    visit.url = f"ws://ann:two@localhost:{visit.port}"
    await visit.refusal()
    visit.url = f"ws://bob:two@localhost:{visit.port}"
    await visit.end(await visit.connect())


@program("""
async def authenticate(connection, request):
    token = request.headers.get("Authorization")
    if token is None:
        return connection.respond(401, "a token is missing\\n")
    connection.user = token.removeprefix("Bearer ")

async def handler(websocket):
    await websocket.send(websocket.user)
    await websocket.send(f"{websocket.subprotocol} {websocket.close_code}")

options = {"process_request": authenticate, "subprotocols": ["v2", "v1"]}
""")
async def tokens(visit: Visit) -> None:
    await visit.refusal()
    headers = {"Authorization": "Bearer ann"}
    client = await visit.connect(additional_headers=headers, subprotocols=["v1", "v2"])
    visit.seen.append(client.subprotocol)
    await visit.end(client)


@program("""
async def parts():
    yield "one "
    yield "message"

async def handler(websocket):
    await websocket.send(parts())
    await websocket.send([b"a", b"b"])
    await websocket.send("as bytes", text=False)
    await websocket.send(await websocket.recv(decode=True))
    waiter = await websocket.ping()
    latency = await waiter
    await websocket.send(f"{latency >= 0} {websocket.latency == latency}")
    try:
        await websocket.recv()
    except ConnectionClosedError as exc:
        assert exc.rcvd.code == 4000
    else:
        raise AssertionError
    try:
        await websocket.send("late")
    except ConnectionClosed as exc:
        LAST.append((exc.rcvd.code, exc.rcvd.reason, exc.sent.code))

LAST = []
""")
async def fine_points(visit: Visit) -> None:
    client = await visit.connect()
    await visit.receive(client, 3)
    await client.send("ä".encode())
    await visit.receive(client, 2)
    await client.close(4000, "done")
    visit.seen.append(client.close_code)  # the reason is not sent back: see docs


@program("""
async def handler(websocket):
    await websocket.send("before")
    raise LookupError("broken")
""")
async def failure(visit: Visit) -> None:
    await visit.end(await visit.connect())


@program("""
async def handler(websocket):
    async for message in websocket:
        await websocket.send(message)

async def beside(server):
    while len(server.connections) < 3:
        await asyncio.sleep(0.001)
    server.close()
    await server.wait_closed()

import asyncio
""")
async def going_away(visit: Visit) -> None:
    for client in [await visit.connect() for _ in range(3)]:
        await visit.end(client)


@program("""
async def handler(websocket):
    async for message in websocket:
        await websocket.send(str(len(message)))

options = {"max_size": 1000}
""")
async def too_big(visit: Visit) -> None:
    client = await visit.connect()
    await client.send("x" * 1000)
    await visit.receive(client)
    await client.send("x" * 1001)
    await soon(client.wait_closed())
    visit.seen.append(client.close_code)


async def nothing(_server: object) -> None:
    pass


async def play(source: str, imports: str, visit: Callable[[Visit], Awaitable[None]]) -> Seen:
    module = types.ModuleType("program")
    exec(imports + source, vars(module))  # noqa: S102 (written above)
    options = {"compression": None, **vars(module).get("options", {})}
    async with module.serve(module.handler, "localhost", 0, **options) as server:
        visitor = Visit(server.sockets[0].getsockname()[1])
        beside = vars(module).get("beside", nothing)(server)
        await asyncio.gather(visit(visitor), beside)
    return [*visitor.seen, *getattr(module, "LAST", [])]


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name: str, loop: LoopName, log: Records) -> None:
    source, visit = PROGRAMS[name]

    async def main() -> None:
        theirs = await play(source, THEIRS, visit)
        ours = await play(source, OURS, visit)
        assert theirs != []
        assert ours == theirs

    run(loop, main())
    assert len(log.take_errors()) == (name == "failure")

"""An echo server over asyncio.Protocol: asyncio has the socket, wspy.Protocol speaks on it."""

import asyncio
import contextlib

import wspy
from wspy.events import Message


class Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.websocket = wspy.Protocol("server", hosts=["localhost", "127.0.0.1"])

    def data_received(self, data: bytes) -> None:
        for event in self.websocket.receive(data):
            if isinstance(event, Message):
                self.websocket.send(event.data)
        self.transport.write(self.websocket.data_to_send())
        if self.websocket.should_close:
            self.transport.close()

    def pause_writing(self) -> None:  # the peer takes no answers: read no more questions
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self.transport.resume_reading()


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 8000)
    print(f"echo server on ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/, Ctrl-C ends")
    await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())

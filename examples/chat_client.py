"""A client for `python -m wspy chat` (pip install websockets): chat_client.py [URL [ROOM [NAME]]].

Says each line of its input and prints what is said. docs/chat.md explains the messages.
"""

import json
import queue
import sys
import threading
import time
import uuid

from websockets.sync.client import ClientConnection, connect

answers: queue.SimpleQueue[dict[str, float]] = queue.SimpleQueue()


def listen(socket: ClientConnection) -> None:
    for line in socket:
        event = json.loads(line)
        for message in event.get("history", [event]):
            if "text" in message:
                print(f"{message.get('name', 'server')}: {message['text']}", flush=True)
        if event["type"] in ("welcome", "ack", "slow", "refused", "error"):
            answers.put(event)


def ask(socket: ClientConnection, **event: str) -> None:
    socket.send(json.dumps(event))
    while wait := answers.get().get("wait"):  # too fast: the same once more
        time.sleep(wait)
        socket.send(json.dumps(event))


with connect(sys.argv[1] if len(sys.argv) > 1 else "ws://127.0.0.1:8000/") as socket:
    threading.Thread(target=listen, args=(socket,), daemon=True).start()
    ask(socket, type="join", **dict(zip(("room", "name"), sys.argv[2:4], strict=False)))
    for line in sys.stdin:
        ask(socket, type="say", key=uuid.uuid4().hex, text=line)

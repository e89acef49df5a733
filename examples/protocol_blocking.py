"""A client over a plain blocking socket: sends its arguments as messages, prints what comes back.

With examples/echo.py running: python examples/protocol_blocking.py hello world
"""

import os
import socket
import sys
from urllib.parse import urlsplit

import wspy
from wspy.events import Close, Message, Open, Rejected

url = os.environ.get("URL", "ws://127.0.0.1:8000/")
messages = sys.argv[1:] or ["hello"]

protocol = wspy.Protocol("client", url=url)
with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port or 80), 10) as sock:
    sock.sendall(protocol.data_to_send())  # the request
    while not protocol.should_close:
        data = sock.recv(65536)
        for event in protocol.receive(data) if data else protocol.receive_eof():
            match event:
                case Open():
                    for message in messages:
                        protocol.send(message)
                case Message(data=message):
                    print(message)
                    messages.pop()
                    if not messages:
                        protocol.close()
                case Rejected(status, detail):
                    sys.exit(f"{url} answers {status}: {detail}")
                case Close(code, reason):
                    print("closed:", code, reason)
        if out := protocol.data_to_send():
            sock.sendall(out)

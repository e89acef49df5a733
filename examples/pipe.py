"""What another program prints, live for all who connect: ping ::1 | python examples/pipe.py

Open http://127.0.0.1:8000/ in as many tabs as you like. The pipe is watched on the server's own
loop: no thread waits for it. A serial port or a database's socket is registered the same way.
"""

import os
import sys

import wspy

PAGE = """<!DOCTYPE html>
<title>pipe</title>
<pre></pre>
<script>
  const socket = new WebSocket(location.href.replace("http", "ws"));
  socket.onmessage = (event) => document.querySelector("pre").append(event.data);
</script>"""

server = wspy.Server(port=8000, on_open=lambda conn: conn.subscribe("pipe"))
server.page("/", PAGE)


def arrived(fd: int, mask: int) -> None:
    data = os.read(fd, 65536)  # what is there: this does not wait
    if data:
        server.publish("pipe", data.decode(errors="replace"))
    else:  # the program has ended
        server.unregister(fd)


if __name__ == "__main__":
    server.register(sys.stdin, wspy.POLLIN, arrived)
    print("open http://127.0.0.1:8000/, Ctrl-C ends")
    server.run()

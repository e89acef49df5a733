"""A chat in one file: open http://127.0.0.1:8000/ in two tabs, type in one, read in the other."""

import wspy

PAGE = """<!DOCTYPE html>
<title>chat</title>
<form><input autofocus aria-label="Message"> <button>Send</button></form>
<ul></ul>
<script>
  const socket = new WebSocket(location.href.replace("http", "ws"));
  const [form, input, list] = ["form", "input", "ul"].map((tag) => document.querySelector(tag));
  socket.onmessage = (event) => {
    const line = document.createElement("li");
    line.textContent = event.data;  // never innerHTML: the text comes from others
    list.append(line);
  };
  form.onsubmit = (event) => {
    event.preventDefault();
    socket.send(input.value);
    input.value = "";
  };
</script>"""

server = wspy.Server(port=8000)
server.page("/", PAGE)


@server.on_message
def say(conn: wspy.Connection, message: str | bytes) -> None:
    server.broadcast(f"{conn.id}: {message!s}")


if __name__ == "__main__":
    print("open http://127.0.0.1:8000/ in two tabs, Ctrl-C ends")
    server.run()

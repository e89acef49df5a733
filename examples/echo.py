"""An echo server: what comes in goes back. Connect to ws://127.0.0.1:8000/."""

import wspy

server = wspy.Server(port=8000)


@server.on_open
def welcome(conn: wspy.Connection) -> None:
    print(f"{conn.remote_address} came to {conn.path}")


@server.on_message
def echo(conn: wspy.Connection, message: str | bytes) -> None:
    conn.send(message)


@server.on_close
def goodbye(conn: wspy.Connection, code: int, reason: str) -> None:
    print(f"{conn.remote_address} left: {code} {reason}")


if __name__ == "__main__":
    print(f"echo server on {server.url}, Ctrl-C ends")
    server.run()

"""Live prices for up to 1,000 viewers: open http://127.0.0.1:8000/, in as many tabs as you like.

The instrument is the key of its prices: for a viewer who does not keep up, the latest price takes
the place of the one that waits, so that a slow line costs neither memory nor time.
"""

import random
from pathlib import Path

import wspy

NAMES = ["AMBR", "BRIO", "COVE", "DUNE", "EMBR", "FERN", "GLOW", "HAZE", "IRIS", "JADE",
         "KITE", "LARK", "MIST", "NOVA", "OPAL", "PINE", "QUAY", "REEF", "SAGE", "TARN"]  # fmt: skip
PAGE = Path(__file__).with_name("ticker.html")

prices = {name: round(random.uniform(20, 400), 2) for name in NAMES}

server = wspy.Server(port=8000, max_connections=1000)
server.page("/", PAGE.read_text(encoding="utf-8"))


@server.on_open
def welcome(conn: wspy.Connection) -> None:
    conn.subscribe("prices")
    for name, price in prices.items():
        conn.send_json({"name": name, "price": price}, key=name)


def trade() -> None:
    for name, price in prices.items():
        prices[name] = round(max(1, price * random.gauss(1, 0.001)), 2)
        server.publish_json("prices", {"name": name, "price": prices[name]}, key=name)


if __name__ == "__main__":
    server.every(0.2, trade)
    print("open http://127.0.0.1:8000/ in some tabs, Ctrl-C ends")
    server.run()

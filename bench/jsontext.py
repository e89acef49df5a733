"""The JSON-like text that compressed messages are made of: the same as load_deflate.c's."""

from __future__ import annotations

SYMBOLS = ("EURUSD", "USDJPY", "GBPUSD", "AUDUSD", "USDCAD", "USDCHF", "NZDUSD", "EURGBP")
VENUES = ("XLON", "XNYS", "XTKS", "XPAR")
SHIFT = 101  # bytes from the beginning of a message to that of the next
SEED = 0x243F6A8885A308D3
MASK = 2**64 - 1


class Dice:
    """Marsaglia's xorshift, as in load_base.h."""

    def __init__(self) -> None:
        self.state = SEED

    def roll(self, sides: int) -> int:
        x = self.state
        x ^= x << 13 & MASK
        x ^= x >> 7
        x ^= x << 17 & MASK
        self.state = x
        return (x >> 33) % sides


def record(dice: Dice) -> str:
    number, symbol, bid = dice.roll(1_000_000), dice.roll(8), dice.roll(100_000)
    spread, size, venue = dice.roll(90) + 10, dice.roll(500), dice.roll(4)
    live = "true" if dice.roll(8) else "false"
    return (
        f'{{"id":{number},"symbol":"{SYMBOLS[symbol]}","bid":1.{bid:05},"spread":0.000{spread:02},'
        f'"size":{size * 100},"venue":"{VENUES[venue]}","live":{live}}},\n'
    )


def text(size: int) -> bytes:
    """The first bytes of it."""
    dice, records, length = Dice(), [], 0
    while length < size:
        records.append(record(dice))
        length += len(records[-1])
    return "".join(records).encode()[:size]


def messages(size: int, count: int) -> list[bytes]:
    """The first messages of a run of the load generator."""
    pool = text(size + (count - 1) * SHIFT)
    return [pool[i * SHIFT : i * SHIFT + size] for i in range(count)]

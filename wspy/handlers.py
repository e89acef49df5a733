"""What may be a handler: checked when it is set, not when the first message comes."""

from __future__ import annotations

import inspect

from ._core import Struct
from .errors import StructError

# Name of the event: what its handler is called with.
HANDLERS = {
    "open": ("conn",),
    "message": ("conn", "message"),
    "json": ("conn", "obj"),
    "close": ("conn", "code", "reason"),
    "drain": ("conn",),
    "ping": ("conn", "data"),
    "pong": ("conn", "data"),
    "error": ("conn", "exception"),
}


def check_handler(name: str, handler: object, of: Struct | None = None, many: bool = False) -> None:
    """Raises TypeError for what can never work as the handler of that event.

    What cannot be called at all, the core refuses. ``of``: the handler is called with the values
    of such a record, or if ``many`` with a list of records.
    """
    if _is(handler, inspect.iscoroutinefunction, inspect.isasyncgenfunction):
        raise TypeError(f"on_{name}: async handlers are not supported yet, use a plain def")
    if _is(handler, inspect.isgeneratorfunction):
        raise TypeError(f"on_{name}: a generator's body would never run, use a def without yield")
    if not callable(handler):
        return
    try:
        signature = inspect.signature(handler)
    except (TypeError, ValueError):  # some of those written in C have none
        return
    arguments = HANDLERS[name]
    if of is not None:
        values = [f"value {n}" for n in range(1, count_values(of) + 1)]
        arguments = ("conn", "records") if many else ("conn", *values)
    try:
        signature.bind(*arguments)
    except TypeError:
        raise TypeError(
            f"on_{name}: the handler is called with ({', '.join(arguments)}), "
            f"which {handler!r} with {signature} does not take"
        ) from None


def read_format(format: object) -> tuple[Struct, bool]:
    """The Struct of on_message's format, and whether it ends in ``*``."""
    if isinstance(format, Struct):
        return format, False
    if isinstance(format, bytes):
        format = format.decode("latin-1")
    if not isinstance(format, str):
        raise TypeError(f"format must be a str, bytes or Struct, not {type(format).__name__}")
    many = format.endswith("*")
    try:
        of = Struct(format.removesuffix("*"))
    except (StructError, UnicodeEncodeError) as exc:
        raise StructError(f"format {format!r}: {exc}") from None
    if count_values(of) == 0 or of.size == 0:
        raise ValueError(f"format {format!r} has no values to call a handler with")
    return of, many


def count_values(of: Struct) -> int:
    return len(of.unpack(bytes(of.size)))


def _is(handler: object, *tests: object) -> bool:
    """Whether a test is true of the function or of the object's __call__."""
    functions = (handler, getattr(handler, "__call__", None))  # noqa: B004 (not "is it callable")
    return any(callable(test) and test(function) for test in tests for function in functions)

"""What may be a handler: checked when it is set, not when the first message comes."""

from __future__ import annotations

import inspect
import struct
from collections.abc import Callable

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
    if _is_async(handler):
        raise TypeError(f"on_{name}: async handlers are not supported yet, use a plain def")
    if _is(handler, inspect.isgeneratorfunction):
        raise TypeError(f"on_{name}: a generator's body would never run, use a def without yield")
    if not callable(handler):
        return
    arguments = HANDLERS[name]
    if of is not None:
        values = [f"value {n}" for n in range(1, count_values(of) + 1)]
        arguments = ("conn", "records") if many else ("conn", *values)
    _check_arguments(f"on_{name}: the handler", handler, arguments)


def check_callback(callback: object) -> None:
    """Raises TypeError for what can never work as the callback of ``server.register()``. Called by
    the extension."""
    if not callable(callback):
        raise TypeError(f"callback must be a function to call, not {type(callback).__name__}")
    if _is_async(callback) or _is(callback, inspect.isgeneratorfunction):
        raise TypeError(
            "callback must be a plain function, not one with async or yield: "
            "its body would never run"
        )
    _check_arguments("callback", callback, ("fd", "mask"))


def _check_arguments(who: str, function: Callable[..., object], arguments: tuple[str, ...]) -> None:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some of those written in C have none
        return
    try:
        signature.bind(*arguments)
    except TypeError:
        raise TypeError(
            f"{who} is called with ({', '.join(arguments)}), "
            f"which {function!r} with {signature} does not take"
        ) from None


def read_format(format: object, max_size: int) -> tuple[Struct, bool]:
    """The Struct of on_message's format, and whether it ends in ``*``."""
    of, many = _parse_format(format)
    if of.size > max_size:
        raise ValueError(
            f"format {of.format!r} has {of.size} bytes, which max_message_size ({max_size}) "
            "never lets in"
        )
    if count_values(of) == 0 or of.size == 0:
        raise ValueError(f"format {of.format + '*' * many!r} has no values to call a handler with")
    return of, many


def _parse_format(format: object) -> tuple[Struct, bool]:
    if isinstance(format, Struct):
        return format, False
    if isinstance(format, struct.Struct):
        return Struct(format), False
    if isinstance(format, bytes):
        format = format.decode("latin-1")
    if not isinstance(format, str):
        raise TypeError(f"format must be a str, bytes or Struct, not {type(format).__name__}")
    try:
        return Struct(format.removesuffix("*")), format.endswith("*")
    except (StructError, UnicodeEncodeError) as exc:
        raise StructError(f"format {format!r}: {exc}") from None


def count_values(of: Struct) -> int:
    return len(of.unpack(bytes(of.size)))


def _is_async(handler: object) -> bool:
    return _is(handler, inspect.iscoroutinefunction, inspect.isasyncgenfunction)


def _is(handler: object, *tests: object) -> bool:
    """Whether a test is true of the function or of the object's __call__."""
    functions = (handler, getattr(handler, "__call__", None))  # noqa: B004 (not "is it callable")
    return any(callable(test) and test(function) for test in tests for function in functions)

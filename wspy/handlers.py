"""What may be a handler: checked when it is set, not when the first message comes."""

from __future__ import annotations

import inspect
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

from ._core import Struct
from .errors import StructError

if TYPE_CHECKING:
    from ._core import Server

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

PLAIN, TASK, THREAD = range(3)  # how one is called: enum ws_handler_mode


def check_handler(name: str, handler: object, of: Struct | None = None, many: bool = False) -> None:
    """Raises TypeError for what can never work as the handler of that event.

    What cannot be called at all, the core refuses. ``of``: the handler is called with the values
    of such a record, or if ``many`` with a list of records.
    """
    if _is(handler, inspect.isasyncgenfunction):
        raise TypeError(f"on_{name}: a generator's body would never run, use one without yield")
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


def check_calls(name: str, function: object, arguments: tuple[str, ...]) -> None:
    """Raises TypeError for what can never work as the argument ``name`` of ``wspy.aio.serve``, a
    function, async or not, that is called with those arguments."""
    if not callable(function):
        raise TypeError(f"{name} must be a function to call, not {type(function).__name__}")
    if _is(function, inspect.isasyncgenfunction, inspect.isgeneratorfunction):
        raise TypeError(f"{name}: a generator's body would never run, use one without yield")
    _check_arguments(name, function, arguments)


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


def mode_of(server: Server, name: str, handler: object, thread: bool, concurrent: bool) -> int:
    """How the handler is called. TypeError or ValueError for what cannot be."""
    is_async = _is(handler, inspect.iscoroutinefunction)
    if name == "error" and is_async:
        raise TypeError("on_error: an async handler may fail itself, use a plain def")
    if is_async and thread:
        raise TypeError(f"on_{name}: thread is for a plain def, which may block; this one is async")
    if is_async and server.strategy in ("select", "poll"):
        raise ValueError(
            f"on_{name}: async handlers need epoll, whose descriptor asyncio can wait for: "
            f"strategy is {server.strategy!r}"
        )
    if concurrent and not (is_async or thread):
        raise ValueError(
            f"on_{name}: concurrent is for handlers that go on: async ones, and with thread=True"
        )
    return TASK if is_async else THREAD if thread else PLAIN


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

"""What may be a handler: checked when it is set, not when the first message comes."""

from __future__ import annotations

import inspect

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


def check_handler(name: str, handler: object) -> None:
    """Raises TypeError for what can never work as the handler of that event.

    What cannot be called at all, the core refuses.
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
    try:
        signature.bind(*arguments)
    except TypeError:
        raise TypeError(
            f"on_{name}: the handler is called with ({', '.join(arguments)}), "
            f"which {handler!r} with {signature} does not take"
        ) from None


def _is(handler: object, *tests: object) -> bool:
    """Whether a test is true of the function or of the object's __call__."""
    functions = (handler, getattr(handler, "__call__", None))  # noqa: B004 (not "is it callable")
    return any(callable(test) and test(function) for test in tests for function in functions)

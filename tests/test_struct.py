"""wspy.Struct and its functions: the standard library's struct is the oracle."""

from __future__ import annotations

import array
import gc
import importlib
import math
import struct
import sys
import threading
import unittest
from collections.abc import Callable
from contextlib import suppress
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from machine import skip_unless
from support import EFFORT

import wspy

cpython_tests: ModuleType | None
try:
    cpython_tests = importlib.import_module("test.test_struct")
except ImportError:  # Debian packs it apart
    cpython_tests = None

ORDERS = ["", "@", "=", "<", ">", "!"]
STANDARD = "xcbB?hHiIlLqQefdsp"
NATIVE = STANDARD + "nNP"

# The same cases in every run, however slow the machine is.
fixed = settings(
    max_examples=200 * EFFORT,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)

# ---- the oracle, on random formats and values ----


def formats_of(codes: str) -> st.SearchStrategy[str]:
    count = st.one_of(st.just(""), st.integers(0, 5).map(str), st.just("300"))
    space = st.sampled_from(["", "", " ", "\t\n"])
    item = st.tuples(space, count, st.sampled_from(codes)).map("".join)
    return st.lists(item, max_size=8).map("".join)


FORMATS = st.one_of(
    st.tuples(st.sampled_from(["=", "<", ">", "!"]), formats_of(STANDARD)).map("".join),
    st.tuples(st.sampled_from(["", "@"]), formats_of(NATIVE)).map("".join),
).filter(lambda format: "0p" not in format or sys.version_info >= (3, 13))  # SystemError

ANYTHING = st.one_of(
    st.integers(-300, 70_000),
    st.integers(-(2**65), 2**65),
    st.floats(),
    st.booleans(),
    st.binary(max_size=12),
    st.binary(max_size=12).map(bytearray),
    st.binary(min_size=1, max_size=1),
    st.sampled_from([None, "text", 1j, [], (1,), 65504.0, 65520.0, 1e39, -0.0]),
)


def values_of(format: str) -> st.SearchStrategy[list[Any]]:
    """As many as the format has, each with what its code takes, and now and then anything else."""
    known = struct.unpack(format, bytes(struct.calcsize(format)))
    fitting = st.binary(min_size=len(known), max_size=len(known)).map(list)
    return st.one_of(
        st.binary(min_size=struct.calcsize(format), max_size=struct.calcsize(format)).map(
            lambda data: list(struct.unpack(format, data))
        ),
        fitting,
        st.lists(ANYTHING, min_size=len(known), max_size=len(known)),
        st.lists(ANYTHING, max_size=3),
    )


def outcome(function: Callable[..., Any], *args: Any) -> tuple[str, Any]:
    """What it returns, so that it can be compared, or which exception it raises."""
    try:
        result = function(*args)
    except Exception as exc:  # noqa: BLE001 (whichever it is, it is compared)
        kind = struct.error if isinstance(exc, struct.error) else type(exc)
        return "raises", kind
    return "returns", repr(result)  # nan equals nan, -0.0 is not 0.0, True is not 1


@fixed
@given(st.data(), FORMATS)
def test_pack_and_unpack_are_those_of_struct(data: st.DataObject, format: str) -> None:
    theirs, ours = struct.Struct(format), wspy.Struct(format)
    assert ours.size == theirs.size
    assert ours.format == theirs.format
    values = data.draw(values_of(format))
    packed = outcome(theirs.pack, *values)
    assert outcome(ours.pack, *values) == packed
    assert outcome(wspy.pack, format, *values) == packed
    raw = data.draw(st.binary(min_size=ours.size, max_size=ours.size))
    assert outcome(ours.unpack, raw) == outcome(theirs.unpack, raw)
    assert outcome(wspy.unpack, format.encode(), memoryview(raw)) == outcome(theirs.unpack, raw)


@fixed
@given(FORMATS, st.binary(max_size=64), st.integers(-70, 70))
def test_unpack_from_is_that_of_struct(format: str, raw: bytes, offset: int) -> None:
    expected = outcome(struct.unpack_from, format, raw, offset)
    assert outcome(wspy.unpack_from, format, raw, offset) == expected
    assert outcome(wspy.Struct(format).unpack_from, bytearray(raw), offset) == expected
    expected = outcome(lambda: list(struct.iter_unpack(format, raw)))
    assert outcome(lambda: list(wspy.iter_unpack(format, raw))) == expected


@fixed
@given(st.data(), FORMATS, st.integers(0, 64), st.integers(-70, 70))
def test_pack_into_is_that_of_struct(
    data: st.DataObject, format: str, room: int, offset: int
) -> None:
    values = data.draw(values_of(format))
    theirs, ours = bytearray(b"\xaa" * room), bytearray(b"\xaa" * room)
    expected = outcome(struct.pack_into, format, theirs, offset, *values)
    assert outcome(wspy.pack_into, format, ours, offset, *values) == expected
    if expected[0] == "returns":
        assert ours == theirs


@fixed
@given(st.text(alphabet="@=<>! \t0123456789" + NATIVE + "FDZz\0-é", max_size=12))
def test_a_format_is_one_where_it_is_one_of_struct(format: str) -> None:
    assert outcome(wspy.calcsize, format) == outcome(struct.calcsize, format)


@fixed
@given(st.floats(), st.sampled_from("efd"), st.sampled_from(ORDERS))
def test_floats_are_those_of_struct(value: float, code: str, order: str) -> None:
    assert outcome(wspy.pack, order + code, value) == outcome(struct.pack, order + code, value)


def test_a_pascal_string_of_no_bytes() -> None:
    """CPython before 3.13 fails here with SystemError, or worse."""
    assert wspy.pack("<0pB", b"a", 7) == b"\7"
    assert wspy.unpack("<0pB", b"\7") == (b"", 7)


@pytest.mark.parametrize("half", [range(start, 0x10000, 8) for start in range(8)], ids=str)
def test_every_half_float(half: range) -> None:
    for bits in half:
        raw = bits.to_bytes(2, "big")
        (ours,), (theirs,) = wspy.unpack("!e", raw), struct.unpack("!e", raw)
        assert repr(ours) == repr(theirs)
        assert wspy.pack("!e", ours) == struct.pack("!e", theirs)
        assert math.copysign(1, ours) == math.copysign(1, theirs)


def test_a_struct_is_a_format() -> None:
    """One of the library's too, which that itself does not take."""
    for of in (struct.Struct("!IHd"), struct.Struct(b"!IHd"), wspy.Struct("!IHd")):
        assert wspy.Struct(of).format == "!IHd"
        assert wspy.calcsize(of) == 14
        raw = wspy.pack(of, 7, 1, 2.5)
        assert raw == struct.pack("!IHd", 7, 1, 2.5)
        assert wspy.unpack(of, raw) == wspy.unpack_from(of, raw) == (7, 1, 2.5)
        assert list(wspy.iter_unpack(of, raw)) == [(7, 1, 2.5)]
        buffer = bytearray(14)
        wspy.pack_into(of, buffer, 0, 7, 1, 2.5)
        assert buffer == raw


@pytest.mark.parametrize("format", [None, 5, bytearray(b"I"), ["I"], wspy.Struct])
def test_what_is_no_format(format: Any) -> None:
    text = f"^format must be a str, bytes or Struct, not {type(format).__name__}$"
    for function in (wspy.Struct, wspy.calcsize, wspy.pack):
        with pytest.raises(TypeError, match=text):
            function(format)


# ---- the texts of what it raises ----

TEXTS: list[tuple[Callable[..., object], tuple[Any, ...]]] = [
    (wspy.calcsize, ("Z",)),
    (wspy.calcsize, ("12",)),
    (wspy.calcsize, ("\0",)),
    (wspy.calcsize, (f"{sys.maxsize + 1}b",)),
    (wspy.pack, ("hh", 1)),
    (wspy.pack, ("i", "x")),
    (wspy.pack, ("f", "x")),
    (wspy.pack, ("c", b"ab")),
    (wspy.pack, ("3s", 5)),
    (wspy.pack, ("3p", "x")),
    (wspy.pack, ("h", 70_000)),
    (wspy.pack, ("B", -1)),
    (wspy.pack, ("<q", 2**63)),
    (wspy.pack, ("<h", 2**70)),
    (wspy.pack, ("e", 1e9)),
    (wspy.pack, ("e", 10**9)),
    (wspy.pack, ("P", 2**70)),
    (wspy.pack, ("<f", 1e300)),
    (wspy.unpack, ("hh", b"abc")),
    (wspy.unpack, ("h", 5)),
    (wspy.unpack_from, ("hh", b"abc")),
    (wspy.unpack_from, ("h", b"abc", -1)),
    (wspy.unpack_from, ("h", b"abc", -9)),
    (wspy.unpack_from, ("h", b"abc", 2)),
    (wspy.iter_unpack, ("h", b"abc")),
    (wspy.iter_unpack, ("", b"abc")),
    (wspy.pack_into, ("h", bytearray(3), 2, 5)),
    (wspy.pack_into, ("h", bytearray(3), -1, 5)),
    (wspy.pack_into, ("h", bytearray(3), 0)),
    (wspy.pack_into, ("h", bytearray(3))),
    (wspy.pack_into, ("h",)),
    (wspy.pack, ()),
]


@pytest.mark.parametrize(("function", "args"), TEXTS, ids=lambda value: repr(value)[:60])
def test_exceptions_say_what_those_of_struct_say(
    function: Callable[..., object], args: tuple[Any, ...]
) -> None:
    name = function.__name__
    with pytest.raises((struct.error, TypeError, OverflowError)) as theirs:
        getattr(struct, name)(*args)
    with pytest.raises((struct.error, TypeError, OverflowError)) as ours:
        function(*args)
    if theirs.type is struct.error:
        assert ours.type is wspy.StructError
    else:
        assert ours.type is theirs.type
    # CPython 3.11 and before give large types no range.
    if str(theirs.value) not in {"argument out of range", "int too large to convert"}:
        assert str(ours.value) == str(theirs.value)


# ---- CPython's own tests ----

# They look at memory and modules of the standard library's own.
OF_THE_IMPLEMENTATION = {
    "test__sizeof__",
    "test__struct_reference_cycle_cleaned_up",
    "test_struct_cleans_up_at_runtime_shutdown",
}


def cpython_cases(module: ModuleType | None) -> list[str]:
    if module is None:
        return []
    loader = unittest.TestLoader()
    return sorted(
        f"{case.__name__}.{name}"
        for case in (module.StructTest, module.UnpackIteratorTest)
        for name in loader.getTestCaseNames(case)
        if name not in OF_THE_IMPLEMENTATION
    )


def test_cpython_brings_its_tests() -> None:
    skip_unless(cpython_tests is not None, "this Python has no package test")
    assert len(cpython_cases(cpython_tests)) > 30


@pytest.mark.parametrize("name", cpython_cases(cpython_tests))
def test_of_cpython(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shim = SimpleNamespace(
        Struct=wspy.Struct,
        error=wspy.StructError,
        pack=wspy.pack,
        pack_into=wspy.pack_into,
        unpack=wspy.unpack,
        unpack_from=wspy.unpack_from,
        iter_unpack=wspy.iter_unpack,
        calcsize=wspy.calcsize,
    )
    assert cpython_tests is not None
    monkeypatch.setattr(cpython_tests, "struct", shim)
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromName(name, cpython_tests).run(result)
    assert result.testsRun == 1
    assert not result.skipped
    assert result.wasSuccessful(), result.errors + result.failures


# ---- what is ours ----


def test_an_error_is_one_of_struct() -> None:
    assert issubclass(wspy.StructError, struct.error)
    with pytest.raises(struct.error, match="bad char in struct format"):
        wspy.Struct("z")


def test_any_buffer_is_read() -> None:
    raw = bytes(range(8))
    for buffer in (raw, bytearray(raw), memoryview(raw), array.array("H", raw)):
        assert wspy.unpack("!II", buffer) == (0x00010203, 0x04050607)
    with pytest.raises(BufferError):
        wspy.unpack("!I", memoryview(raw)[::2])


def test_a_format_may_be_a_struct() -> None:
    point = wspy.Struct("<2h")
    assert wspy.pack(point, 1, 2) == point.pack(1, 2)
    assert wspy.calcsize(point) == 4


def test_a_subclass_may_have_arguments_of_its_own() -> None:
    class Point(wspy.Struct):
        def __init__(self, letter: str, *, n: int) -> None:
            super().__init__(f"<{n}{letter}")

    assert Point("h", n=2).pack(1, 2) == b"\1\0\2\0"
    assert repr(Point("h", n=2)) == "Point('<2h')"


def test_without_a_format_it_raises() -> None:
    class Late(wspy.Struct):
        def __init__(self) -> None:
            pass

    late = Late()
    for use in (late.pack, lambda: late.unpack(b""), lambda: late.size, lambda: late.format):
        with pytest.raises(RuntimeError, match="not initialized"):
            use()


def test_a_value_may_change_the_struct_that_packs_it() -> None:
    """A second __init__ in the middle: the first format is used to the end."""

    class Changes:
        def __index__(self) -> int:
            pair.__init__("<QQQQ")  # type: ignore[misc]
            gc.collect()
            return 1

    pair = wspy.Struct("<hh")
    assert pair.pack(Changes(), 2) == b"\1\0\2\0"
    assert pair.size == 32


def test_a_buffer_cannot_shrink_while_it_is_packed_into() -> None:
    class Shrinks:
        def __index__(self) -> int:
            buffer.clear()
            return 1

    buffer = bytearray(4)
    with pytest.raises(BufferError):
        wspy.pack_into("<hh", buffer, 0, 1, Shrinks())
    assert len(buffer) == 4


def test_an_iterator_keeps_its_struct_and_its_buffer() -> None:
    buffer = bytearray(b"\0\1\0\2\0\3")
    records = wspy.Struct("!H").iter_unpack(buffer)
    with pytest.raises(BufferError):
        buffer.append(0)
    gc.collect()
    assert next(records) == (1,)
    del records
    buffer.append(0)


def test_an_iterator_that_has_ended_gives_its_buffer_back() -> None:
    buffer = bytearray(b"\0\1\0\2\0\3")
    records = wspy.iter_unpack("!H", buffer)
    assert list(records) == [(1,), (2,), (3,)]
    buffer.append(0)
    assert list(records) == []
    assert records.__length_hint__() == 0  # type: ignore[attr-defined]


def test_a_finalizer_that_takes_the_rest() -> None:
    """The collector may run when the tuple of a record is made, and that one is still read."""
    buffer = bytearray(b"\0\1\0\2\0\3")
    records = wspy.iter_unpack("!H", buffer)
    rest: list[tuple[Any, ...]] = []

    class Late:
        def __init__(self) -> None:
            self.myself = self

        def __del__(self) -> None:
            rest.extend(records)
            rest.extend(records)
            with suppress(BufferError):
                buffer.clear()

    thresholds = gc.get_threshold()
    gc.collect()
    gc.disable()
    Late()
    gc.set_threshold(1)
    gc.enable()
    try:
        first = next(records)
    finally:
        gc.set_threshold(*thresholds)
    gc.collect()
    assert first == (1,)
    assert rest == [(2,), (3,)]
    assert list(records) == []
    buffer.append(0)


def test_nothing_is_left_behind() -> None:
    def rounds(n: int) -> None:
        for _ in range(n):
            point = wspy.Struct("<2i5sd")
            list(point.iter_unpack(point.pack(1, -2, b"abc", 1e9) * 3))
            next(point.iter_unpack(bytearray(point.size)))
            for wrong in ("x", 2**40, None):
                with pytest.raises(wspy.StructError):
                    point.pack(1, wrong, b"", 0)
            with pytest.raises(wspy.StructError):
                wspy.Struct("2z")
            with pytest.raises(TypeError):
                point.iter_unpack(5)  # type: ignore[arg-type]
        gc.collect()

    rounds(100)
    blocks = sys.getallocatedblocks()
    rounds(1000)
    assert abs(sys.getallocatedblocks() - blocks) < 50


def test_the_cache_is_bounded() -> None:
    for n in range(2000):
        assert wspy.calcsize(f"{n}x") == n
    cached = [obj for obj in gc.get_referrers(wspy.Struct) if isinstance(obj, wspy.Struct)]
    assert len(cached) < 300


def test_threads_share_an_iterator() -> None:
    records = wspy.Struct("!I").iter_unpack(b"".join(n.to_bytes(4, "big") for n in range(20_000)))
    seen: list[set[int]] = [set() for _ in range(4)]

    def take(into: set[int]) -> None:
        into.update(n for (n,) in records)

    threads = [threading.Thread(target=take, args=(into,)) for into in seen]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set().union(*seen) == set(range(20_000))


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="there they are formats")
@pytest.mark.parametrize("code", "FD")
def test_complex_formats_come_with_python_3_14(code: str) -> None:
    with pytest.raises(wspy.StructError, match="bad char in struct format"):
        wspy.calcsize(code)

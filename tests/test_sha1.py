"""wspy.sha1 beside hashlib.sha1, and with several threads."""

from __future__ import annotations

import array
import copy
import ctypes
import gc
import hashlib
import hmac
import mmap
import pickle
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from machine import skip_unless
from support import EFFORT, MIB, TIMEOUT, make_binary, resident_kib, wait

import wspy

GIL_MIN = 2048  # bytes, as in csrc/python/sha1_type.c

# The same cases in every run, however slow the machine is.
fixed = settings(
    max_examples=100 * EFFORT,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
# Most that hypothesis makes is short: here is one on each side of every border.
datas = st.binary() | st.builds(
    lambda size, seed: make_binary(size, seed),
    st.sampled_from((55, 56, 63, 64, 65, 119, 2047, 2048, 2049, 65535, 65536, MIB + 1)),
    st.integers(0, 100),
)


def same(ours: wspy.sha1, data: bytes) -> None:
    theirs = hashlib.sha1(data)
    assert ours.digest() == theirs.digest()
    assert ours.hexdigest() == theirs.hexdigest()


# -- the same as hashlib --


@fixed
@given(datas)
@example(b"")
def test_one_shot(data: bytes) -> None:
    same(wspy.sha1(data), data)
    same(wspy.sha1(data=data), data)


@fixed
@given(st.lists(datas, max_size=8))
def test_pieces(pieces: list[bytes]) -> None:
    ours, seen = wspy.sha1(), b""
    for piece in pieces:
        ours.update(piece)
        seen += piece
        same(ours, seen)


@fixed
@given(before=datas, ours_after=datas, copys_after=datas)
def test_copies_go_their_own_way(before: bytes, ours_after: bytes, copys_after: bytes) -> None:
    ours = wspy.sha1(before)
    other = ours.copy()
    assert type(other) is wspy.sha1
    ours.update(ours_after)
    other.update(copys_after)
    same(ours, before + ours_after)
    same(other, before + copys_after)
    del ours
    same(other, before + copys_after)


def test_every_split_and_every_size() -> None:
    data = make_binary(300)
    for cut in range(len(data) + 1):
        ours = wspy.sha1(data[:cut])
        same(ours, data[:cut])
        ours.update(data[cut:])
        same(ours, data)


def test_many_megabytes() -> None:
    ours, theirs, data = wspy.sha1(), hashlib.sha1(), make_binary(MIB)
    for _ in range(8):
        ours.update(data)
        theirs.update(data)
    assert ours.digest() == theirs.digest()
    same(wspy.sha1(bytes(9 * MIB)), bytes(9 * MIB))


def test_what_it_says_of_itself() -> None:
    ours, theirs = wspy.sha1(), hashlib.sha1()
    for name in ("name", "digest_size", "block_size"):
        assert getattr(ours, name) == getattr(theirs, name)
        with pytest.raises(AttributeError):
            setattr(ours, name, 1)
    assert isinstance(ours, wspy.sha1)
    assert type(ours.digest()) is bytes
    assert type(ours.hexdigest()) is str
    assert ours.update(b"") is None  # type: ignore[func-returns-value]


def test_usedforsecurity_is_taken() -> None:
    same(wspy.sha1(b"a", usedforsecurity=False), b"a")
    same(wspy.sha1(usedforsecurity=True), b"")


@fixed
@given(key=datas, message=datas)
def test_hmac_takes_it(key: bytes, message: bytes) -> None:
    make: Callable[..., object] = wspy.sha1
    ours = hmac.new(key, message, make)  # type: ignore[arg-type]
    assert ours.digest() == hmac.new(key, message, "sha1").digest()


# -- what it takes --


class Bytes(bytes):
    pass


@pytest.mark.parametrize("size", [0, 1, 100, GIL_MIN - 1, GIL_MIN, 100_000])
def test_buffers(size: int) -> None:
    data = make_binary(size)
    same(wspy.sha1(Bytes(data)), data)
    same(wspy.sha1(bytearray(data)), data)
    same(wspy.sha1(memoryview(data)), data)
    same(wspy.sha1(memoryview(b"x" + data + b"y")[1:-1]), data)
    same(wspy.sha1(array.array("B", data)), data)
    same(wspy.sha1((ctypes.c_char * size).from_buffer_copy(data)), data)
    items = array.array("I", range(size))
    same(wspy.sha1(items), items.tobytes())
    if size:
        with mmap.mmap(-1, size) as mapped:
            mapped[:] = data
            same(wspy.sha1(mapped), data)
    if size % 4 == 0 and size:
        square = memoryview(data).cast("B", (size // 4, 4))
        same(wspy.sha1(square), data)


def test_memory_with_gaps() -> None:
    gaps = memoryview(b"abcdef")[::2]
    ours = wspy.sha1(b"a")
    for function in (wspy.sha1, ours.update, hashlib.sha1):
        with pytest.raises(BufferError):
            function(gaps)
    same(ours, b"a")


def test_wrong_types() -> None:
    ours = wspy.sha1(b"a")
    for function in (wspy.sha1, ours.update, hashlib.sha1):
        with pytest.raises(TypeError, match="must be encoded before hashing"):
            function("text")  # type: ignore[arg-type]
    for wrong in (None, 1, 1.5, [b"a"], object()):
        with pytest.raises(TypeError, match=f"bytes-like object, not {type(wrong).__name__}"):
            wspy.sha1(wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=f"bytes-like object, not {type(wrong).__name__}"):
            ours.update(wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        ours.update()  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        wspy.sha1(b"", b"")  # type: ignore[call-arg, arg-type]
    with pytest.raises(TypeError, match="'string'"):
        wspy.sha1(string=b"")  # type: ignore[call-arg]
    same(ours, b"a")


def test_a_view_that_was_released() -> None:
    view = memoryview(b"abc")
    view.release()
    with pytest.raises(ValueError, match="released"):
        wspy.sha1(view)


def test_what_it_is_not() -> None:
    ours = wspy.sha1()
    for function in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="cannot pickle"):
            function(ours)
    with pytest.raises(TypeError, match="not an acceptable base type"):
        type("Derived", (wspy.sha1,), {})
    with pytest.raises(TypeError):
        wspy.sha1.name = "x"  # type: ignore[method-assign, assignment]
    assert ours != wspy.sha1()
    assert len({ours, wspy.sha1(), ours}) == 2


# -- threads --


def run(*functions: Callable[[], None]) -> None:
    """Each in a thread of its own, all at once."""
    barrier = threading.Barrier(len(functions))

    def call(function: Callable[[], None]) -> None:
        barrier.wait(TIMEOUT)
        function()

    with ThreadPoolExecutor(len(functions)) as pool:
        for done in [pool.submit(call, function) for function in functions]:
            done.result(TIMEOUT)


@pytest.mark.parametrize("size", [1, 100, GIL_MIN - 1, GIL_MIN, 20_000])
def test_threads_that_update_one_object(size: int, fast_switches: None) -> None:
    """Of equal blocks the order does not matter: each has to be there whole, and once."""
    block, threads, rounds = make_binary(size, 3), 8, 200
    ours = wspy.sha1()

    def update() -> None:
        for _ in range(rounds):
            ours.update(block)

    run(*[update] * threads)
    same(ours, block * (rounds * threads))


def test_threads_with_blocks_of_many_sizes(fast_switches: None) -> None:
    """Small and large ones contend, with the GIL and without; zeros have no order either."""
    sizes = [1, 64, GIL_MIN - 1, GIL_MIN, 5000, 100_000]
    ours = wspy.sha1()

    def update(first: int) -> Callable[[], None]:
        def call() -> None:
            for i in range(60):
                ours.update(bytes(sizes[(first + i) % len(sizes)]))

        return call

    run(*(update(first) for first in range(len(sizes))))
    same(ours, bytes(60 * sum(sizes)))


def test_threads_that_look_while_others_update(fast_switches: None) -> None:
    """Whatever they see is the digest of a whole number of blocks."""
    block, rounds = make_binary(GIL_MIN, 5), 300
    theirs, known = hashlib.sha1(), {hashlib.sha1().digest()}
    for _ in range(2 * rounds):
        theirs.update(block)
        known.add(theirs.digest())
    ours = wspy.sha1()
    seen: set[bytes] = set()

    def update() -> None:
        for _ in range(rounds):
            ours.update(block)

    def look() -> None:
        for _ in range(rounds):
            seen.add(ours.digest())
            seen.add(bytes.fromhex(ours.hexdigest()))
            seen.add(ours.copy().digest())

    run(update, update, look, look)
    assert seen <= known
    assert ours.digest() == theirs.digest()


def test_memory_cannot_be_resized_meanwhile() -> None:
    """A bytearray is held as long as its bytes are read."""
    data = bytearray(4 * MIB)
    ours, begun, held = wspy.sha1(), threading.Event(), threading.Event()

    def update() -> None:
        while not held.is_set():
            begun.set()
            ours.update(data)

    def resize() -> None:
        wait(begun)
        while True:
            try:
                data.append(0)
            except BufferError:
                held.set()
                return
            data.pop()

    run(update, resize)
    data.append(0)  # and not longer
    with pytest.raises(BufferError):
        ours.update(memoryview(data)[::2])
    data.append(0)


@pytest.fixture
def switches_on_request_only() -> Iterator[None]:
    """No thread takes the GIL from one that does not give it up."""
    skip_unless(not sysconfig.get_config_var("Py_GIL_DISABLED"), "this Python has no GIL")
    before = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize(("size", "gives_it_up"), [(GIL_MIN - 1, False), (GIL_MIN, True)])
def test_when_the_gil_is_given_up(
    size: int, gives_it_up: bool, switches_on_request_only: None
) -> None:
    block, tries = make_binary(size), 1_000_000 if gives_it_up else 2000
    ours, begun, others_ran = wspy.sha1(), threading.Event(), threading.Event()
    seen: list[bool] = []

    def update() -> None:
        begun.set()
        for _ in range(tries):
            ours.update(block)
            if others_ran.is_set():
                break
        seen.append(others_ran.is_set())

    def other() -> None:
        wait(begun)
        others_ran.set()

    thread = threading.Thread(target=other, daemon=True)
    thread.start()
    update()
    thread.join(TIMEOUT)
    assert not thread.is_alive()
    assert seen == [gives_it_up]


def test_who_waits_for_another_thread_gives_up_the_gil(switches_on_request_only: None) -> None:
    data = bytes(32 * MIB)

    def others_run_meanwhile() -> bool:
        ours = wspy.sha1()
        busy, begun, others_ran = threading.Event(), threading.Event(), threading.Event()

        def update() -> None:
            busy.set()
            ours.update(data)

        def other() -> None:
            wait(begun)
            others_ran.set()

        threads = [threading.Thread(target=f, daemon=True) for f in (other, update)]
        for thread in threads:
            thread.start()
        wait(busy)  # and the update runs: nothing before it gives up the GIL
        begun.set()
        ours.digest()
        seen = others_ran.is_set()
        for thread in threads:
            thread.join(TIMEOUT)
        return seen

    # Once is enough: where this thread was held up, the update may have been over.
    assert any(others_run_meanwhile() for _ in range(60))


# -- what is taken is given back --


def test_leaks() -> None:
    data, large = make_binary(100), make_binary(GIL_MIN)

    def rounds(n: int) -> None:
        for _ in range(n):
            ours = wspy.sha1(data)
            ours.update(large)
            ours.copy().digest()
            ours.hexdigest()
            for wrong in ("text", memoryview(data)[::2], None):
                with pytest.raises((TypeError, BufferError)):
                    wspy.sha1(wrong)  # type: ignore[arg-type]
                with pytest.raises((TypeError, BufferError)):
                    ours.update(wrong)  # type: ignore[arg-type]
        gc.collect()

    rounds(500)
    memory, references = resident_kib(), sys.getrefcount(wspy.sha1)
    rounds(5000)
    assert resident_kib() - memory < 1024
    assert sys.getrefcount(wspy.sha1) - references < 10
    before = sys.getrefcount(data), sys.getrefcount(large)
    wspy.sha1(data).update(large)
    assert (sys.getrefcount(data), sys.getrefcount(large)) == before

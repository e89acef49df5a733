"""wspy.Headers, and the exception's words."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from wspy import ConnectionClosed, Headers

HEADERS = Headers(
    [
        ("Host", "example.com"),
        ("Cookie", "a=1"),
        ("X-Forwarded-For", "10.0.0.1"),
        ("cookie", "b=2"),
        ("x-forwarded-for", "10.0.0.2"),
    ]
)


def test_case_does_not_matter() -> None:
    assert HEADERS["host"] == HEADERS["HOST"] == "example.com"
    assert "hOsT" in HEADERS
    assert "hos" not in HEADERS
    assert 5 not in HEADERS  # type: ignore[comparison-overlap]
    assert HEADERS.get("origin") is None
    with pytest.raises(KeyError):
        HEADERS["origin"]


def test_repeated_fields() -> None:
    assert HEADERS["x-forwarded-for"] == "10.0.0.1, 10.0.0.2"
    assert HEADERS["cookie"] == "a=1; b=2"
    assert HEADERS.get_all("Cookie") == ["a=1", "b=2"]
    assert HEADERS.get_all("origin") == []


def test_iteration_is_as_sent() -> None:
    assert list(HEADERS) == ["Host", "Cookie", "X-Forwarded-For"]
    assert len(HEADERS) == 3
    assert dict(HEADERS)["Cookie"] == "a=1; b=2"
    assert not Headers()


def test_it_cannot_be_changed() -> None:
    headers: Any = HEADERS
    with pytest.raises(TypeError):
        headers["host"] = "other"
    with pytest.raises(TypeError):
        del headers["host"]
    with pytest.raises(AttributeError):
        headers.anything = 1
    HEADERS.get_all("cookie").clear()
    assert HEADERS.get_all("cookie") == ["a=1", "b=2"]


def test_equality_and_copies() -> None:
    assert Headers([("A", "1")]) == Headers([("a", "1")])
    assert Headers([("A", "1")]) != Headers([("a", "2")])
    assert Headers() != {}
    for twin in (copy.copy(HEADERS), copy.deepcopy(HEADERS), pickle.loads(pickle.dumps(HEADERS))):
        assert twin == HEADERS
        assert list(twin) == list(HEADERS)


def test_repr() -> None:
    assert repr(Headers([("A", "1"), ("a", "2")])) == "Headers([('A', '1'), ('A', '2')])"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((1000,), "the connection is closed: 1000 (normal closure)"),
        ((1001, "bye"), "the connection is closed: 1001 (going away) bye"),
        ((4000, ""), "the connection is closed: 4000"),
    ],
)
def test_connection_closed(arguments: Any, text: str) -> None:
    exc = ConnectionClosed(*arguments)
    assert str(exc) == text
    assert (exc.code, exc.reason) == (*arguments, "")[:2]
    twin = pickle.loads(pickle.dumps(exc))
    assert (twin.code, twin.reason) == (exc.code, exc.reason)

"""The header fields of a request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping


class Headers(Mapping[str, str]):
    """The header fields of a request: a read-only mapping that ignores the case of names.

    A field that was sent more than once reads as one value, joined with ``", "`` (RFC 9110
    section 5.3) or, for ``Cookie``, with ``"; "``; ``get_all()`` tells the values apart.
    Iteration gives each name once, as it was first spelled, in the order of the request.
    """

    __slots__ = ("_names", "_values")

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._names: list[str] = []
        self._values: dict[str, list[str]] = {}  # by name in lower case
        for name, value in pairs:
            values = self._values.setdefault(name.lower(), [])
            if not values:
                self._names.append(name)
            values.append(value)

    def __getitem__(self, name: str) -> str:
        if name not in self:
            raise KeyError(name)
        values = self._values[name.lower()]
        return ("; " if name.lower() == "cookie" else ", ").join(values)

    def get_all(self, name: str) -> list[str]:
        """Returns the values of all fields of that name, in order; an empty list if none."""
        return list(self._values[name.lower()]) if name in self else []

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Headers):
            return self._values == other._values
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        pairs = [(name, value) for name in self._names for value in self.get_all(name)]
        return f"{type(self).__name__}({pairs!r})"

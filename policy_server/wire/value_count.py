"""Bound on the values of a message while it is unpacked."""

from __future__ import annotations

from typing import Any


class ValueCount:
    """Counts the values of lists and maps, as a hook of msgpack; ValueError if there are more than `limit`."""

    def __init__(self, limit: int) -> None:
        self._limit = self._left = limit

    def __call__(self, value: Any) -> Any:
        self._left -= 1 + len(value)
        if self._left < 0:
            raise ValueError(f"more than {self._limit} values")
        return value

"""The server under test: its connections, requests drawn at random, and answers held against the contract."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from policy_server.dialects.contract import Contract
from policy_server.dialects.translation import Translation
from policy_server.errors import PolicyError, Refused, Unreachable
from policy_server.foreign.wire_protocol import ForeignConnection, ForeignServer
from robots.conformance.verdict import Failed, expect
from robots.spec import OVERSHOOT

Rows = npt.NDArray[np.float32]
SAME = 1e-5  # two answers that differ by less are one


@dataclass(frozen=True)
class Options:
    """What the checks ask for.

    Attributes:
        timeout_s: longest wait for an answer: a server that is silent for longer hangs.
        ping_s: longest median of pings during inference.
        clients: number of clients at the same time.
        instruction: in words.
        seed: of the random requests.
    """

    timeout_s: float = 30.0
    ping_s: float = 0.05
    clients: int = 4
    instruction: str = "pick up the mug"
    seed: int = 0


class Target:
    """One server under one contract."""

    def __init__(self, server: ForeignServer, contract: Contract, options: Options) -> None:
        self.server, self.contract, self.options = server, contract, options
        self._translation = Translation(contract)

    @contextmanager
    def connected(self) -> Iterator[ForeignConnection]:
        """A new connection, closed at the end."""
        try:
            connection = self.server.open(self.options.timeout_s)
        except PolicyError as error:
            raise Failed(
                "a new connection", f"{type(error).__name__}: {error}", "one that the server serves"
            ) from error
        try:
            yield connection
        finally:
            connection.close()

    def request(self, number: int) -> dict[str, Any]:
        """Returns a valid request; the same number gives the same one."""
        random = np.random.default_rng([self.options.seed, number])
        spec = self.contract.policy_spec
        images = {one.name: random.integers(0, 256, (one.height, one.width, 3), np.uint8) for one in spec.cameras}
        low, high = np.array(spec.state.low, np.float64), np.array(spec.state.high, np.float64)
        state = (low + random.uniform(0.2, 0.8, len(low)) * (high - low)).astype(np.float32)
        return self._translation.request_to_fields(images, state, self.options.instruction)

    def answer(self, connection: ForeignConnection, number: int) -> tuple[Rows, float]:
        """Returns the answer to a valid request and its duration [s]; Failed unless it is right."""
        began = time.monotonic()
        try:
            rows = self._translation.rows_from_fields(connection.ask(self.request(number), self.options.timeout_s))
        except PolicyError as error:
            raise Failed("answer to a valid request", f"{type(error).__name__}: {error}", "an action") from error
        took_s = time.monotonic() - began
        self.check(rows)
        return rows, took_s

    def check(self, rows: Rows) -> None:
        """Raises Failed unless every number is finite and in its range."""
        vector = self.contract.actions.spec.vector
        expect(bool(np.isfinite(rows).all()), "answer", "NaN or infinity", "finite numbers")
        low, high = np.array(vector.low), np.array(vector.high)
        slack = OVERSHOOT * (high - low)
        outside = ((rows < low - slack) | (rows > high + slack)).any(axis=0)
        for column in np.flatnonzero(outside)[:1]:
            name, values = vector.names[column], rows[:, column]
            got, bounds = f"{values.min():.4g} to {values.max():.4g}", f"[{low[column]:.4g}, {high[column]:.4g}]"
            hint = "is it in the contract's units, and un-normalised?"
            raise Failed(f"answer '{name}' [{vector.units[column]}]", got, f"{bounds}; {hint}")

    def refusal(self, connection: ForeignConnection, fields: Mapping[str, Any] | bytes) -> str:
        """Returns the words of a refusal; Failed if the server acts on it, or says nothing and keeps the connection."""
        began = time.monotonic()
        try:
            if isinstance(fields, bytes):
                connection.ask_raw(fields, self.options.timeout_s)
            else:
                rows = self._translation.rows_from_fields(connection.ask(fields, self.options.timeout_s))
                self.check(rows)
        except Refused as error:
            return str(error)
        except Unreachable as error:
            took_s = time.monotonic() - began
            expect(took_s < 0.9 * self.options.timeout_s, "answer", f"nothing in {took_s:.1f} s", "an error in words")
            return f"hung up without a word ({error})"
        except PolicyError as error:
            raise Failed("answer", f"{type(error).__name__}: {error}", "an error in the dialect's words") from error
        raise Failed("answer", "an action", "an error in the dialect's words")

    def is_deterministic(self) -> bool:
        """Returns True if the same request gives the same answer twice, each as the first of its connection."""
        answers = []
        for _ in range(2):
            with self.connected() as connection:
                answers.append(self.answer(connection, 1)[0])
        return bool(np.abs(answers[0] - answers[1]).max() < SAME)


def same(one: Rows, other: Rows) -> bool:
    """Returns True if two answers are equal up to rounding."""
    return bool(np.abs(one - other).max() < SAME)

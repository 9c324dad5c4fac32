"""A policy behind another project's server: opens sessions on a robot, as `PolicyClient` does on Ferry's own server."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

from policy_server.client import SETUP_TIMEOUT_S, check_decision
from policy_server.decision import Decision
from policy_server.dialects.contract import Contract
from policy_server.dialects.contract_file import contract_sha256
from policy_server.dialects.translation import F32Rows, Translation
from policy_server.errors import ContractError, PolicyError, Unreachable
from policy_server.foreign.wire_protocol import ForeignConnection, ForeignServer
from policy_server.policy import Policy, PolicyInfo, PolicySession, Sampling
from policy_server.wire.messages import unfit
from robots.binding import Binding, bind
from robots.embodiment import Embodiment
from robots.errors import SpecError
from robots.observation import Observation


class ForeignPolicy(Policy):
    """A policy of `server` under `contract`; `timeout_s` is the deadline of a decision, None its control period."""

    def __init__(self, server: ForeignServer, contract: Contract, *, timeout_s: float | None = None) -> None:
        self._server, self.contract = server, contract
        self._timeout_s = contract.control_period_s if timeout_s is None else timeout_s
        self._asking = _Asking()

    def describe(self) -> PolicyInfo:
        """Returns what the contract says, and its hash: nobody can tell which weights a foreign server has loaded.

        Unreachable unless the server answers.
        """
        self._server.ping(SETUP_TIMEOUT_S)
        contract = self.contract
        manifest = {"name": contract.name, "contract": asdict(contract)}
        return PolicyInfo(contract.name, contract.policy_spec, contract_sha256(contract), manifest)

    def open(
        self, embodiment: Embodiment, instruction: str, /, *, sampling: Sampling = "greedy", seed: int = 0
    ) -> ForeignSession:
        """Starts an episode on `embodiment`.

        Raises BindError if the two do not fit, Unreachable or Refused by the server, ContractError where the server
        says that it expects something else. `seed` is ignored: no such protocol has one.
        """
        if sampling != "greedy":
            expected = "'greedy': this policy is sampled as its server does"
            raise ContractError(f"sampling of '{self.contract.name}': got '{sampling}', expected {expected}")
        binding = bind(self.contract.policy_spec, embodiment)
        connection = self._server.open(SETUP_TIMEOUT_S)
        translation = Translation(self.contract)
        return ForeignSession(connection, binding, translation, instruction, self._timeout_s, self._asking)

    def ping(self, timeout_s: float) -> None:
        """Raises Unreachable unless the server answers in time.

        While a decision is awaited from a server that answers nothing meanwhile, its silence says nothing; the decision
        has a deadline of its own.
        """
        if self._asking.now and not self.contract.answers_while_busy:
            return
        started = time.monotonic()
        try:
            self._server.ping(timeout_s)
        except Unreachable:
            if self.contract.answers_while_busy or not self._asking.within(time.monotonic() - started):
                raise

    def close(self) -> None:
        """Closes the connections."""
        self._server.close()


class ForeignSession(PolicySession):
    """One episode; context manager. Any error ends it, because a later answer could belong to another request."""

    def __init__(
        self,
        connection: ForeignConnection,
        binding: Binding,
        translation: Translation,
        instruction: str,
        timeout_s: float,
        asking: _Asking,
    ) -> None:
        self._connection, self.binding, self._translation = connection, binding, translation
        self._instruction, self._timeout_s, self._asking = instruction, timeout_s, asking
        self._ended = ""
        self.step = 0
        """Number of the next decision."""

    def act(self, observation: Observation, executed: str | None = None) -> Decision:
        """Requests the next decision; `executed` is ignored, since chunks have no names.

        Raises Unreachable without a complete answer within the time limit, and at every call after an error; Refused if
        the server refuses; WireError if the observation does not fit, or the answer has another shape, is not finite or
        is out of range.
        """
        started = time.monotonic()
        if self._ended:
            raise Unreachable(f"session ended: {self._ended}; open a new one")
        try:
            images, state = self.binding.images(observation), self.binding.state(observation)
        except SpecError as error:
            raise unfit(error) from error
        fields = self._translation.request_to_fields(images, state, self._instruction)
        asked = time.monotonic()
        try:
            with self._asking.one():
                reply = self._connection.ask(fields, self._timeout_s - (asked - started))
            decision = self._decision(self._translation.rows_from_fields(reply), observation.stamp_ns, started, asked)
            check_decision(decision, self.binding, observation.stamp_ns, self.step)
        except PolicyError as error:
            self._end(f"{type(error).__name__}: {error}")
            raise
        self.step += 1
        return decision

    def close(self) -> None:
        """Closes the connection; no error if the server is gone."""
        self._end("closed")

    def _decision(self, rows: F32Rows, stamp_ns: int, started: float, asked: float) -> Decision:
        now = time.monotonic()
        timing = {"preprocess": asked - started, "server": now - asked, "total": now - started}
        valid_for_s = self.binding.policy.control_period_s
        return Decision(stamp_ns, self.step, chunk=rows, valid_for_s=valid_for_s, timing_s=timing)

    def _end(self, reason: str) -> None:
        if not self._ended:
            self._ended = reason
            self._connection.close()


class _Asking:
    """Counts the decisions that are awaited."""

    def __init__(self) -> None:
        self._lock, self._count, self._ended_s = threading.Lock(), 0, float("-inf")

    @property
    def now(self) -> bool:
        """True while a decision is awaited."""
        return self._count > 0

    def within(self, seconds: float) -> bool:
        """Returns True if a decision was awaited at any time in the last `seconds`."""
        return self.now or time.monotonic() - self._ended_s < seconds

    @contextmanager
    def one(self) -> Iterator[None]:
        """Counts one while the context is entered."""
        with self._lock:
            self._count += 1
        try:
            yield
        finally:
            with self._lock:
                self._count, self._ended_s = self._count - 1, time.monotonic()

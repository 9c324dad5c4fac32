"""Foreign clients' episodes on a served bundle: the same sessions, limits and checks as Ferry's own clients have."""

from __future__ import annotations

import time
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from policy_server.bundle import PolicyBundle
from policy_server.decision import Decision
from policy_server.dialects.contract import Contract
from policy_server.dialects.translation import F32Rows, Request, Translation
from policy_server.errors import ContractError, SessionError
from policy_server.graph_inputs import StepInput
from policy_server.manifest import PolicyManifest
from policy_server.serving.api_clients import ANYONE, ApiClient
from policy_server.serving.fair_pool import Account
from policy_server.serving.service import Service
from policy_server.wire.messages import ActRequest
from robots.binding import bind
from robots.errors import BindError

OVER = ("horizon_exceeded", "session_expired", "session_evicted")
"""Ends of a session that a policy without memory does not notice: its next decision is the same in a new one."""


def has_memory(manifest: PolicyManifest) -> bool:
    """Returns True if a decision depends on those before it, so that episodes must not be mixed."""
    inputs = any(isinstance(one, StepInput) for one in manifest.inputs)
    return bool(manifest.recurrent or manifest.previous_action or inputs)


class Episodes:
    """What all clients of one dialect share.

    Args:
        service: of the bundle.
        contract: of the wire; ContractError unless the bundle binds to the robot that it describes.
    """

    def __init__(self, service: Service, contract: Contract) -> None:
        self.service, self.contract, self.translation = service, contract, Translation(contract)
        self.manifest = service.bundle.manifest
        self.has_memory = has_memory(self.manifest)
        body = contract.client_body
        try:
            bind(self.manifest.spec, body)
        except BindError as error:
            raise ContractError(f"contract '{contract.name}' and policy '{self.manifest.name}': {error}") from error
        self.body = body.to_json()
        service.policy.admissions.append(self._admit)

    def new(self, held: PolicyBundle | None = None, client: ApiClient = ANYONE) -> Episode:
        """Returns a client's first episode; it takes a session when its first observation arrives.

        `held` is the bundle that the client was told of and keeps; each episode takes the present one when not given.
        """
        return Episode(self, held, client, Account(priority=client.priority))

    def _admit(self, bundle: PolicyBundle) -> None:
        """Raises ContractError for a bundle that does not keep what clients were told."""
        manifest = bundle.manifest
        if manifest.spec != self.manifest.spec or has_memory(manifest) != self.has_memory:
            got = f"bundle '{manifest.name}', which takes, gives or remembers something else"
            expected = f"one like '{self.manifest.name}', whose keys the clients of {self.contract.dialect} have"
            raise ContractError(f"contract '{self.contract.name}': got {got}, expected {expected}")


@dataclass
class Episode:
    """One client's episode; used by one thread at a time.

    A new instruction begins a new one, as does `reset`. So does a session that ended by itself, where the policy has no
    memory; where it has one, the client gets an error and must reset or connect anew: a policy never loses its memory
    silently. It ends on the bundle that it began on.
    """

    shared: Episodes
    held: PolicyBundle | None = None
    client: ApiClient = ANYONE
    account: Account = field(default_factory=Account)
    _session: str = ""
    _instruction: str = ""
    _begun: int = 0
    _bundle: weakref.ref[PolicyBundle] | None = None
    """Of an episode that has begun: it does not keep a bundle in memory for a client that never comes back."""

    def act(self, message: Mapping[str, Any]) -> tuple[F32Rows, Decision]:
        """Returns the chunk in SI and the whole decision; raises WireError, SessionError, NotFinite, OutOfRange."""
        request = self.shared.translation.request_from_fields(message)
        if request.instruction != self._instruction:
            self.reset()
        bundle = self._bundle_of_episode()
        if not self._session:
            self._begin(request.instruction, bundle)
        try:
            decision = self._decide(request)
        except SessionError as error:
            if self.shared.has_memory or error.code not in OVER:
                raise
            self._begin(request.instruction, bundle)
            decision = self._decide(request)
        assert decision.chunk is not None  # the contract binds chunks only
        return decision.chunk, decision

    @property
    def has_session(self) -> bool:
        """True while it holds one of the server's sessions."""
        return bool(self._session)

    def belong_to(self, client: ApiClient) -> None:
        """Makes it the episode of a client whose token came with a request."""
        self.client, self.account.priority = client, client.priority

    def reset(self) -> None:
        """Ends the episode; the next observation begins another one."""
        self._bundle = None
        self.pause()

    def pause(self) -> None:
        """Gives the session back; the next observation continues the episode in another one."""
        session, self._session = self._session, ""
        if session:
            try:
                self.shared.service.sessions.close(session)
            except SessionError:  # it has ended already
                return

    def _bundle_of_episode(self) -> PolicyBundle:
        """Returns the bundle on which the episode began, or begins; SessionError 410 if it is gone."""
        if self._bundle is None:
            return self.held or self.shared.service.bundle
        if bundle := self._bundle():
            return bundle
        self.reset()
        message = "session: its bundle was replaced while the episode had no session; begin a new episode"
        raise SessionError(message, code="session_expired", status=410)

    def _begin(self, instruction: str, bundle: PolicyBundle) -> None:
        self.pause()
        opened = self.shared.service.open(
            self.shared.body, instruction, "greedy", self._begun, bundle=bundle, client=self.client
        )
        self._bundle = weakref.ref(bundle)
        self._session, self._instruction, self._begun = opened["session_id"], instruction, self._begun + 1

    def _decide(self, request: Request) -> Decision:
        service = self.shared.service
        session = service.sessions.take(self._session)
        asked = ActRequest(time.monotonic_ns(), request.images, request.state, reported=True)
        return service.act(session, asked)

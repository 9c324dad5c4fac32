"""Policies under evaluation: a bundle in this process, a policy server, or the simulator's expert."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from evaluation.errors import TrialError
from evaluation.plans.plan import PolicyEntry
from evaluation.step import Session
from policy_server.client import PolicyClient, PolicySession
from policy_server.manifest import PolicyManifest
from robots.binding import Binding
from robots.embodiment import Embodiment
from robots.spec import PolicySpec

Sampling = Literal["greedy", "sample", "uniform"]


@dataclass(frozen=True)
class PolicyIdentity:
    """Identity of a policy, for records: `manifest` as JSON values and the bundle's hash, both empty for the expert."""

    name: str
    sampling: str
    source: str
    bundle_sha256: str = ""
    manifest: Mapping[str, Any] = field(default_factory=dict)


class BoundSession(Session, Protocol):
    """A session with its binding to the robot."""

    @property
    def binding(self) -> Binding:
        """Binding of the policy to the robot."""


class PolicyBackend(Protocol):
    """Opens sessions of an exported policy: `PolicyClient` or `OnnxPolicy`."""

    def open(self, body: Embodiment, instruction: str, *, sampling: Sampling = ..., seed: int = ...) -> BoundSession:
        """Starts an episode; BindError or Refused when policy and robot do not fit."""


class Policy(Protocol):
    """A policy under test."""

    identity: PolicyIdentity
    spec: PolicySpec

    def open(self, body: Embodiment, instruction: str, seed: int) -> tuple[Session, Binding]:
        """Starts an episode on the robot."""

    def close(self) -> None:
        """Called once at the end."""


class ExportedPolicy:
    """An exported policy, in this process or behind a server."""

    def __init__(self, backend: PolicyBackend, identity: PolicyIdentity, spec: PolicySpec, sampling: Sampling) -> None:
        self._backend, self.identity, self.spec, self._sampling = backend, identity, spec, sampling

    def open(self, body: Embodiment, instruction: str, seed: int) -> tuple[Session, Binding]:
        """Starts an episode. TrialError when the server serves another bundle than when the evaluation began."""
        session = self._backend.open(body, instruction, sampling=self._sampling, seed=seed)
        self._check_bundle(session)
        return session, session.binding

    def close(self) -> None:
        """Closes the connections to a server."""
        if isinstance(self._backend, PolicyClient):
            self._backend.close()

    def _check_bundle(self, session: BoundSession) -> None:
        """A bundle in this process cannot change; a server may have been started again with another one."""
        if isinstance(session, PolicySession) and session.bundle_sha256 != self.identity.bundle_sha256:
            session.close()
            raise TrialError(
                f"policy '{self.identity.name}': got bundle {session.bundle_sha256[:12]} from {self.identity.source}, "
                f"expected {self.identity.bundle_sha256[:12]} as when the evaluation began; serve that bundle again"
            )


def open_policy(entry: PolicyEntry, *, token: str | None = None, threads: int = 0) -> Policy:
    """Opens the exported policy of a plan's entry. `token` is for a server; `threads` for inference in this process.

    Raises BundleError for a bad bundle; Unreachable, Refused or WireError for a server that cannot be used.
    """
    if entry.server is not None:
        return _server(entry, entry.server, token)
    if entry.bundle is None:
        raise TrialError(f"policy '{entry.name}': got no bundle and no server, expected one of them")
    from policy_server.bundle import PolicyBundle  # onnxruntime only where a policy runs in this process
    from policy_server.onnx_policy import OnnxPolicy

    bundle = PolicyBundle.load(Path(entry.bundle), threads=threads)
    bundle.warm_up()
    return _network(OnnxPolicy(bundle), entry, entry.bundle, bundle.manifest, bundle.sha256)


def _server(entry: PolicyEntry, url: str, token: str | None) -> Policy:
    with PolicyClient(url, token=token) as client:
        manifest, sha256 = client.served()
    client = PolicyClient(url, token=token, timeout_s=manifest.spec.control_period_s)
    return _network(client, entry, url, manifest, sha256)


def _network(backend: PolicyBackend, entry: PolicyEntry, source: str, manifest: PolicyManifest, sha256: str) -> Policy:
    identity = PolicyIdentity(entry.name, entry.sampling, source, sha256, manifest.to_json())
    return ExportedPolicy(backend, identity, manifest.spec, entry.sampling)

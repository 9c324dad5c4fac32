"""A policy by its name, and the bundle behind it: replaced at the edge of an episode, watched, and rolled back.

A session keeps the bundle that it was opened on, so an episode is never mixed; new sessions get the new bundle. Until
that one has proved itself the last one that did is kept, and comes back at the first fault.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastapi.responses import JSONResponse

from policy_server.bundle import PolicyBundle
from policy_server.errors import SessionError

TRIAL_DECISIONS = 50
"""Decisions without a fault after which a bundle has proved itself."""
TRIAL_MISSES = 3
"""Decisions of a trial whose inference alone takes longer than the policy's control period, at which it has failed."""
MAX_LOADED = 4
"""Bundles of one policy in memory: the present one, the proved one, and those whose episodes are not over."""


@dataclass(frozen=True)
class Rollback:
    """Why a bundle was taken back."""

    policy: str
    bundle_sha256: str
    reason: str

    def to_json(self) -> dict[str, str]:
        """Returns it for /readyz and /v1/policies."""
        return {"policy": self.policy, "bundle_sha256": self.bundle_sha256, "reason": self.reason}


class ServedPolicy:
    """One policy of a server. Safe to use from several threads.

    Args:
        name: by which a client chooses it.
        bundle: that new sessions get.
    """

    def __init__(self, name: str, bundle: PolicyBundle) -> None:
        self.name = name
        self.admissions: list[Callable[[PolicyBundle], None]] = []
        """What else a new bundle must meet, each raising a PolicyError: a dialect has a contract with its clients."""
        self.rolled_back: Rollback | None = None
        self._lock = threading.Lock()
        self._bundle = self._proved = bundle
        self._described = _described(bundle)
        self._withdrawn: set[str] = set()
        self._loaded = [weakref.ref(bundle)]
        self._decisions = self._misses = 0

    @property
    def bundle(self) -> PolicyBundle:
        """The bundle that new sessions get."""
        return self._bundle

    @property
    def is_on_trial(self) -> bool:
        """True until the present bundle has proved itself."""
        return self._bundle is not self._proved

    def described(self) -> tuple[str, bytes]:
        """Returns the present bundle's hash, and manifest, hash and runtime as JSON."""
        with self._lock:
            return self._bundle.sha256, self._described

    def check_room(self) -> None:
        """Raises SessionError 409 "bundles_in_use" when no further bundle may be loaded."""
        with self._lock:
            self._loaded = [ref for ref in self._loaded if ref() is not None]
            if len(self._loaded) >= MAX_LOADED:
                message = f"policy '{self.name}': got {len(self._loaded)} bundles whose episodes are not over"
                expected = f"less than {MAX_LOADED} in memory; try again when one has ended"
                raise SessionError(f"{message}, expected {expected}", code="bundles_in_use", status=409)

    def check_not_withdrawn(self, bundle: PolicyBundle) -> None:
        """Raises SessionError 410 "session_rolled_back" for a bundle that was taken back."""
        if bundle.sha256 in self._withdrawn:
            message = "session: its bundle erred and was rolled back; open a new one"
            raise SessionError(message, code="session_rolled_back", status=410)

    def replace(self, bundle: PolicyBundle) -> str:
        """Gives `bundle`, which is warm, to new sessions; returns the hash of the one before."""
        described = _described(bundle)
        with self._lock:
            before = self._bundle.sha256
            self._bundle, self._described, self._decisions, self._misses = bundle, described, 0, 0
            self._withdrawn.discard(bundle.sha256)
            self._loaded.append(weakref.ref(bundle))
            self.rolled_back = None
        return before

    def answered(self, bundle: PolicyBundle, inference_s: float) -> str:
        """Counts a decision of `bundle`; returns why it has failed its trial by it, or nothing."""
        limit_s = bundle.manifest.spec.control_period_s
        with self._lock:
            if bundle is not self._bundle or not self.is_on_trial:
                return ""
            self._decisions += 1
            self._misses += inference_s > limit_s
            if self._misses >= TRIAL_MISSES:
                return f"{self._misses} of its first {self._decisions} decisions took longer than {limit_s:g} s"
            if self._decisions >= TRIAL_DECISIONS:
                self._proved = bundle
        return ""

    def roll_back(self, bundle: PolicyBundle, reason: str) -> bool:
        """Takes `bundle` back if it is on trial; returns True if this call did it."""
        with self._lock:
            if bundle is not self._bundle or self._bundle is self._proved:
                return False
            self.rolled_back = Rollback(self.name, bundle.sha256, reason)
            if bundle.sha256 != self._proved.sha256:
                self._withdrawn.add(bundle.sha256)
            self._bundle, self._described = self._proved, _described(self._proved)
        return True

    def to_json(self) -> dict[str, Any]:
        """Returns the state of the policy for /v1/policies."""
        with self._lock:
            return {
                "name": self.name,
                "bundle_sha256": self._bundle.sha256,
                "on_trial": self.is_on_trial,
                "rolled_back": self.rolled_back.to_json() if self.rolled_back else None,
            }


def _described(bundle: PolicyBundle) -> bytes:
    content = {"bundle_sha256": bundle.sha256, "manifest": bundle.document, "runtime": bundle.runtime}
    return bytes(JSONResponse(content).body)

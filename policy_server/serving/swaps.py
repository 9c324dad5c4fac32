"""Swaps of bundles while robots are served: one at a time, loaded beside the workers, logged and counted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from policy_server.errors import SessionError
from policy_server.serving.metrics import Metrics
from policy_server.serving.served_policy import ServedPolicy
from policy_server.serving.service import Service

log = logging.getLogger("ferry.policy_server")


class Swaps:
    """What `ferry swap` asks of an application."""

    def __init__(self, service: Service, metrics: Metrics, check_ready: Callable[[], None]) -> None:
        self._service, self._metrics, self._check_ready = service, metrics, check_ready
        self._running = asyncio.Lock()
        service.on_rollback = self._rolled_back

    async def swap(self, folder: Path, *, policy: str | None = None, other_spec: bool = False) -> dict[str, Any]:
        """Loads and tries the bundle in `folder`, and gives it to new sessions; running ones end on theirs.

        `policy` names one of several. Returns what `ferry swap` prints. Raises as `Service.admit`, and SessionError:
        404 "unknown_policy", 409 "swap_running" (also where a bundle was rolled back meanwhile), 503 "not_ready"; then
        nothing has changed.
        """
        self._check_ready()
        served = self._service.named(policy, only=True)
        if self._running.locked():
            raise SessionError("another bundle is being loaded; try again", code="swap_running", status=409)
        async with self._running:
            present = served.bundle
            try:
                # In a thread of its own: a worker that loads for seconds would answer no robot.
                bundle = await asyncio.to_thread(self._service.admit, served, folder, other_spec=other_spec)
                self._check_ready()
                if served.bundle is not present:  # it was compared with one that is gone, and the operator shall know
                    message = f"policy '{served.name}' was rolled back meanwhile; see /v1/policies and try again"
                    raise SessionError(message, code="swap_running", status=409)
            except Exception as error:
                self._metrics.swaps.labels(served.name, "refused").inc()
                log.warning("policy '%s': bundle %s was refused: %s", served.name, folder, error)
                raise
            before = served.replace(bundle)
        self._metrics.swaps.labels(served.name, "swapped").inc()
        log.warning("policy '%s': bundle %s in place of %s", served.name, bundle.sha256[:12], before[:12])
        running = self._service.count_before()
        return {"policy": served.name, "bundle_sha256": bundle.sha256, "before": before, "sessions_before": running}

    def _rolled_back(self, policy: ServedPolicy) -> None:
        """Called from the thread of a decision."""
        self._metrics.swaps.labels(policy.name, "rolled_back").inc()
        why = policy.rolled_back
        if why is not None:
            message = "policy '%s': bundle %s was rolled back to %s: %s"
            log.error(message, policy.name, why.bundle_sha256[:12], policy.bundle.sha256[:12], why.reason)

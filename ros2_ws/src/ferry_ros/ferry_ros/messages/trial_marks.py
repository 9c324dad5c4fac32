"""The mark of a trial's beginning: what a recording needs to know of it besides what the topics tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray

from ferry_ros.messages import diagnostics
from policy_server.manifest import PolicyManifest


def begun_msg(
    stamp_ns: int,
    manifest: PolicyManifest,
    runtime: Mapping[str, Any],
    *,
    instruction: str,
    bundle_sha256: str,
    sampling: str,
    seed: int,
    max_steps: int,
    folder: str,
) -> DiagnosticArray:
    """A trial that begins now.

    Args:
        stamp_ns: now, in ROS time; the trial's name.
        manifest: of the policy.
        runtime: what the policy server runs on, as it tells.
        instruction: in words.
        bundle_sha256: hash of the served bundle.
        sampling: greedy, sample or uniform.
        seed: of the session.
        max_steps: most decisions.
        folder: of the trial's record on this computer; empty without one.
    """
    values = {
        "instruction": instruction,
        "bundle_sha256": bundle_sha256,
        "sampling": sampling,
        "seed": seed,
        "max_steps": max_steps,
        "folder": folder,
        "runtime": dict(runtime),
        "manifest": manifest.to_json(),
    }
    return diagnostics.diagnostics(stamp_ns, diagnostics.status("trial", diagnostics.OK, "begun", values))

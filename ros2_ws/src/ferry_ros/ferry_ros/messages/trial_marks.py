"""The mark of a trial's beginning: what a recording needs to know of it besides what the topics carry."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from diagnostic_msgs.msg import DiagnosticArray

from ferry_ros.messages import diagnostics
from policy_server.policy import PolicyInfo


@dataclass(frozen=True)
class Begun:
    """A trial that begins now.

    Attributes:
        instruction: in words.
        bundle_sha256: hash of the served bundle.
        sampling: greedy, sample or uniform.
        seed: of the session.
        max_steps: most decisions.
        folder: of the trial's record on this computer; empty without one.
    """

    instruction: str
    bundle_sha256: str
    sampling: str
    seed: int
    max_steps: int
    folder: str


def begun_msg(stamp_ns: int, begun: Begun, policy: PolicyInfo) -> DiagnosticArray:
    """The mark of a trial of `policy`; its stamp names the trial."""
    values = {**asdict(begun), "runtime": dict(policy.runtime), "manifest": dict(policy.manifest)}
    return diagnostics.diagnostics(stamp_ns, diagnostics.status("trial", diagnostics.OK, "begun", values))


def folder_of(message: DiagnosticArray) -> str:
    """The folder of the trial's record in a mark; empty without one."""
    return diagnostics.values_of(message.status[0]).get("folder", "") if message.status else ""

"""Converts a step of the loop to a message and back; its images stay on their own topics."""

from __future__ import annotations

from diagnostic_msgs.msg import DiagnosticArray

from evaluation.records.step_values import step_from, step_values
from evaluation.step import Step
from ferry_ros.messages import diagnostics
from ferry_ros.messages.convert import stamp_of
from robots.errors import SpecError


def step_msg(step: Step) -> DiagnosticArray:
    """A step: OK when the robot did it, WARN when it did not; the message is the action's name."""
    decision = step.decision
    level = diagnostics.OK if step.sent.executed else diagnostics.WARN
    one = diagnostics.status("decision", level, decision.name, step_values(step))
    return diagnostics.diagnostics(decision.stamp_ns, one)


def step_of(message: DiagnosticArray) -> Step:
    """Inverse of `step_msg`, with an observation that is empty but for its stamp; SpecError when it is no step."""
    try:
        one = message.status[0]
    except LookupError as error:
        raise SpecError("step message", f"{type(error).__name__} {error}", "what step_msg writes") from error
    return step_from(stamp_of(message.header), one.message, diagnostics.values_of(one))

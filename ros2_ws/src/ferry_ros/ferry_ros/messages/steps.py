"""Converts a step of the loop to a message and back; its images stay on their own topics."""

from __future__ import annotations

import json

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray

from evaluation.step import Step
from ferry_ros.messages import diagnostics
from ferry_ros.messages.convert import stamp_of
from policy_server.decision import Decision
from robots.command import command_from_json, command_to_json
from robots.errors import SpecError
from robots.observation import Observation
from robots.robot import Sent


def step_msg(step: Step) -> DiagnosticArray:
    """A step: OK when the robot did it, WARN when it did not; the message is the action's name."""
    decision, sent = step.decision, step.sent
    probabilities = None if decision.probabilities is None else decision.probabilities.tolist()
    chunk = None if decision.chunk is None else decision.chunk.tolist()
    numbers = {
        "step": decision.step,
        "action": decision.action,
        "probabilities": probabilities,
        "chunk": chunk,
        "valid_for_s": decision.valid_for_s,
        "decision_timing_s": dict(decision.timing_s),
        "command": command_to_json(sent.command),
        "clipped": sent.clipped,
        "seen_ns": step.stamp_ns,
        "late": step.late,
        "timing_s": dict(step.timing_s),
    }
    values = {name: json.dumps(value) for name, value in numbers.items()}
    values.update(refused=sent.refused, blocked=sent.blocked)
    level = diagnostics.OK if sent.executed else diagnostics.WARN
    return diagnostics.diagnostics(decision.stamp_ns, diagnostics.status("decision", level, decision.name, values))


def step_of(message: DiagnosticArray) -> Step:
    """Inverse of `step_msg`, with an observation that is empty but for its stamp; SpecError when it is no step."""
    stamp_ns = stamp_of(message.header)
    try:
        values = diagnostics.values_of(message.status[0])
        refused, blocked = values.pop("refused"), values.pop("blocked")
        numbers = {name: json.loads(value) for name, value in values.items()}
        sent = Sent(command_from_json(numbers["command"]), tuple(numbers["clipped"]), refused, blocked)
        arrays = {name: numbers[name] for name in ("probabilities", "chunk")}
        decision = Decision(
            stamp_ns=stamp_ns,
            step=numbers["step"],
            action=numbers["action"],
            name=message.status[0].message,
            valid_for_s=numbers["valid_for_s"],
            timing_s=numbers["decision_timing_s"],
            **{name: None if values is None else np.array(values, dtype=np.float32) for name, values in arrays.items()},
        )
        return Step(Observation(stamp_ns, {}), decision, sent, numbers["seen_ns"], numbers["late"], numbers["timing_s"])
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise SpecError("step message", f"{type(error).__name__} {error}", "what step_msg writes") from error

"""Results of commands, and states of nodes, as `diagnostic_msgs`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from std_msgs.msg import Header

from ferry_ros.messages.convert import stamp_of, time_msg
from ferry_ros.messages.json_text import read_json
from robots.command import command_from_json, command_to_json
from robots.errors import SpecError
from robots.execution.command_request import CommandResult, Status
from robots.robot import Sent

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


def status(name: str, level: bytes, message: str, values: Mapping[str, object]) -> DiagnosticStatus:
    """One diagnostic status; values that are not strings are written as JSON."""
    pairs = [KeyValue(key=k, value=v if isinstance(v, str) else json.dumps(v)) for k, v in values.items()]
    return DiagnosticStatus(name=name, level=level, message=message, values=pairs)


def diagnostics(stamp_ns: int, *statuses: DiagnosticStatus) -> DiagnosticArray:
    """`statuses` in one message."""
    return DiagnosticArray(header=Header(stamp=time_msg(stamp_ns)), status=list(statuses))


def values_of(one: DiagnosticStatus) -> dict[str, str]:
    """A status's values by key."""
    return {pair.key: pair.value for pair in one.values}


def result_msg(result: CommandResult, pose: Sequence[float] | None = None) -> DiagnosticArray:
    """A result; OK when executed, WARN when blocked, ERROR when refused, with the reason as the message.

    `pose` is the base's (x_m, y_m, yaw_rad) then; None where there is none.
    """
    sent = result.sent
    level = ERROR if sent.refused else WARN if sent.blocked else OK
    values = {
        "command": command_to_json(sent.command),
        "clipped": sent.clipped,
        "refused": sent.refused,
        "blocked": sent.blocked,
        "ended": sent.ended,
        "stopped": result.stopped,
        "after_ns": result.after_ns,
        "age_s": result.age_s,
        "began_ns": result.began_ns,
        "duration_s": result.duration_s,
        "lease": result.lease,
        "pose": None if pose is None else [float(number) for number in pose],
    }
    one = status("executor", level, sent.refused or sent.blocked or "executed", values)
    return diagnostics(result.stamp_ns, one)


def result_of(message: DiagnosticArray) -> CommandResult:
    """Inverse of `result_msg`; SpecError when the message is no result."""
    if len(message.status) != 1:
        raise SpecError("result statuses", len(message.status), "exactly one")
    values = values_of(message.status[0])
    try:
        sent = Sent(
            command=command_from_json(read_json(values["command"])),
            clipped=tuple(read_json(values["clipped"])),
            refused=values["refused"],
            blocked=values["blocked"],
            ended=bool(read_json(values.get("ended", "false"))),  # bags of before have none,
        )
        numbers = {name: read_json(values[name]) for name in ("after_ns", "age_s", "began_ns", "duration_s")}
        return CommandResult(stamp_of(message.header), sent, values["stopped"], **numbers, lease=values["lease"])
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise SpecError("result values", f"{type(error).__name__} {error}", "those of result_msg") from error


def pose_of(message: DiagnosticArray) -> tuple[float, float, float] | None:
    """The base's pose (x_m, y_m, yaw_rad) in a result; None where it has none."""
    try:
        x, y, yaw = read_json(values_of(message.status[0])["pose"])
    except (LookupError, TypeError, ValueError):
        return None
    return float(x), float(y), float(yaw)


def executor_status(now: Status, memory: str = "") -> DiagnosticStatus:
    """Status of a robot's executor and of ROS's shared memory; ERROR when the robot is not ready to move."""
    values: dict[str, object] = {"state": now.state, "reason": now.reason, "last_stop": now.last_stop}
    values["shared_memory"] = memory
    values["observation_age_s"] = now.observation_age_s
    values.update(now.counts)
    return status("executor", ERROR if now.reason else OK, now.reason or now.state, values)

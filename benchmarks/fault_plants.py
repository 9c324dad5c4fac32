"""The faults that are planted on a body, and what is measured of each."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fault_bodies import FaultBody
from fault_line import NAN_STEP, PERIOD_S, Line, running, wait
from fault_table import Tried
from ferry_ros import services
from std_srvs.srv import SetBool

WATCH_S = 1.5
"""How long is watched after a fault: three control periods."""

JUMP_S = 5.0

CLOCK_JUMP = "clock jump"
"""It moves this machine's time of day, so it needs root, and no other body's tries beside it."""


Act = Callable[[Line], object]


@dataclass(frozen=True)
class Fault:
    """One fault: how it is planted, taken back, and on which bodies it can be."""

    plant: Act
    undo: Act = lambda line: None
    fits: Callable[[FaultBody], object] = lambda body: True
    at_nan: bool = False


def _restart_robot(line: Line) -> None:
    line.processes["robot_node"].kill()
    line.processes["robot_node"].wait()
    if line.here.fake is not None and line.body.again:
        line.here.fake.kill()
        line.here.fake.wait()
    line.robot()


def _runstop(line: Line, on: bool) -> None:
    if line.body.runstop:
        line.body.runstop(line.here, on)
        if not on and line.body.again:
            _restart_robot(line)
    else:
        services.ask(line.here.node, SetBool, "runstop", SetBool.Request(data=on), 8.0)


def _bus_off(line: Line, on: bool) -> None:
    assert line.body.bus_off is not None
    line.body.bus_off(line.here, on)
    if not on:
        _restart_robot(line)


def _freeze(line: Line, on: bool) -> None:
    assert line.body.freeze is not None
    line.body.freeze(line.here, on)


def _switch_off(line: Line) -> None:
    assert line.here.fake is not None
    line.here.fake.kill()
    line.here.fake.wait()


FAULTS: dict[str, Fault] = {
    "server killed": Fault(lambda x: x.send("server", signal.SIGKILL), lambda x: x.serve()),
    "server frozen": Fault(lambda x: x.send("server", signal.SIGSTOP), lambda x: x.send("server", signal.SIGCONT)),
    "network cut": Fault(lambda x: setattr(x.proxy, "is_cut", True), lambda x: setattr(x.proxy, "is_cut", False)),
    "slow inference": Fault(lambda x: setattr(x.proxy, "delay_s", 2.0), lambda x: setattr(x.proxy, "delay_s", 0.0)),
    "NaN": Fault(lambda x: None, at_nan=True),
    "camera frozen": Fault(lambda x: _freeze(x, True), lambda x: _freeze(x, False), lambda body: body.freeze),
    "robot node killed": Fault(
        lambda x: x.send("robot_node", signal.SIGKILL), lambda x: x.robot(), lambda body: body.fake
    ),
    "robot switched off": Fault(_switch_off, _restart_robot, lambda body: body.fake),
    "policy node killed": Fault(lambda x: x.send("policy_node", signal.SIGKILL), lambda x: x.policy()),
    "policy node frozen": Fault(
        lambda x: x.send("policy_node", signal.SIGSTOP), lambda x: x.send("policy_node", signal.SIGCONT)
    ),
    "supervisor killed": Fault(
        lambda x: x.send("supervisor_node", signal.SIGKILL),
        lambda x: x.node("supervisor_node", x.body.supervisor),
    ),
    "e-stop": Fault(lambda x: x.estop(), lambda x: x.trigger("supervisor_node/clear")),
    "runstop": Fault(lambda x: _runstop(x, True), lambda x: _runstop(x, False)),
    "bus-off": Fault(lambda x: _bus_off(x, True), lambda x: _bus_off(x, False), lambda body: body.bus_off),
    CLOCK_JUMP: Fault(lambda x: move_clock(JUMP_S), lambda x: move_clock(-JUMP_S), lambda body: os.geteuid() == 0),
    "Ctrl-C": Fault(lambda x: x.send("policy_node", signal.SIGINT), lambda x: x.policy()),
}


def move_clock(seconds: float) -> None:
    """Moves this machine's time of day."""
    time.clock_settime(time.CLOCK_REALTIME, time.clock_gettime(time.CLOCK_REALTIME) + seconds)


def plant_all(name: str, faults: Sequence[str], tries: int, folder: Path, results: Path) -> None:
    """Plants every fault `tries` times on the body called `name`; writes what came of them as it goes.

    Tries that `results` holds already count: a run that was cut off goes on where it was.
    """
    os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 101)
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    tried = [Tried(**one) for one in json.loads(results.read_text())] if results.is_file() else []
    with running(name, folder) as line:
        for fault_name in faults:
            fault = FAULTS[fault_name]
            made = sum(one.fault == fault_name for one in tried)
            for number in range(made, tries if fault.fits(line.body) else 0):
                one = plant(line, name, fault_name, fault)
                print(f"{number + 1}/{tries} {json.dumps(one.to_json())}", flush=True)
                tried.append(one)
                results.write_text(json.dumps([one.to_json() for one in tried]) + "\n")


def plant(line: Line, body: str, fault_name: str, fault: Fault) -> Tried:
    """One try."""
    truth, trial = line.truth, under_way(line, fault)
    fault_s = time.monotonic()
    fault.plant(line)
    time.sleep(WATCH_S)
    told_s, reason = line.reason(fault_s)  # of a body that is silent itself all that is known is when that was noticed
    stood = max(0.0, (truth.last_moved_s() if truth.heard_after(fault_s) else told_s) - fault_s)
    way = truth.way(fault_s)
    undone_s = time.monotonic()
    fault.undo(line)
    if wait(trial.done, 12.0) and trial.result():
        reason = reason or str(json.loads(trial.result().message)["message"])
    time.sleep(max(0.0, undone_s + 1.5 * PERIOD_S - time.monotonic()))
    began = sum(one.began_ns / 1e9 > fault_s + 2 * PERIOD_S for one in line.results)
    return Tried(body, fault_name, stood, way, began, reason, truth.unit)


def under_way(line: Line, fault: Fault) -> Any:
    """A trial in the middle of a motion, or at the step whose answer will be NaN."""
    for _ in range(5):
        line.home()
        trial = line.begin()
        line.truth.samples.clear()
        if fault.at_nan and wait(lambda: line.steps >= NAN_STEP, 30.0):
            return trial
        if not fault.at_nan and wait(line.truth.moving, 4.0) and not trial.done():
            return trial
        line.trigger("policy_node/end_trial")
        wait(trial.done, 12.0)
    raise TimeoutError(f"nothing moves: {line.told[-3:]}")

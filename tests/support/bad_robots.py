"""A small good robot, and the same with one fault each: what a conformance suite must notice."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import replace

import numpy as np

from robots.arms.action_chunks import GRIPPER, POSE, cartesian_delta, joint_positions
from robots.command import Chunk, Command, Done, Grasp, MoveBase, MoveJoint, RotateBase, SetGripper
from robots.embodiment import BaseLimits, Embodiment, JointLimits, Workspace
from robots.errors import NotConnected
from robots.fakes.kinematic import FakeOptions, FakeRobot
from robots.limits import limit
from robots.observation import Observation
from robots.robot import Health, Sent
from robots.spec import CameraSpec, VectorSpec

JOINTS = {
    "lift": JointLimits(0.0, 1.0, 0.4, 0.1),
    "wrist": JointLimits(-1.0, 1.0, 0.6),
    "gripper_aperture": JointLimits(0.0, 0.1, 0.4),
}
UNITS = ("m", "rad", "m")
CART = Embodiment(
    name="cart",
    cameras=(CameraSpec("front", 12, 16, 60.0),),
    state={
        "joints": VectorSpec(tuple(JOINTS), UNITS, (-0.1, -1.1, -0.1), (1.1, 1.1, 0.2)),
        "hand": VectorSpec(("in_hand",), ("bool",), (0.0,), (1.0,)),
    },
    actions={
        "ahead": MoveBase(0.1),
        "left": RotateBase(0.3),
        "up": MoveJoint("lift", 0.1),
        "grasp": Grasp(),
        "done": Done(),
    },
    joints=JOINTS,
    base=BaseLimits(0.3, 1.0, 1.2, 4.0, 0.1, 0.3),
    chunks=(joint_positions(JOINTS, UNITS),),
)
OPTIONS = FakeOptions(height=12, width=16)


class Cart(FakeRobot):
    """The good one: a base, a lift, a wrist and a gripper, and nothing else."""

    def __init__(self, options: FakeOptions = OPTIONS, body: Embodiment = CART) -> None:
        super().__init__(options, body)


class ClipsSilently(Cart):
    """Clips, and does not say that it did."""

    def execute(self, command: Command) -> Sent:
        return replace(super().execute(command), clipped=())


class SaysClipped(Cart):
    """Says that it clipped what it sent as asked."""

    def execute(self, command: Command) -> Sent:
        return replace(super().execute(command), command=command)


class ReturnsEarly(Cart):
    """Returns when the command was sent."""

    worker: threading.Thread | None = None

    def execute(self, command: Command) -> Sent:
        self.wait()
        sent = limit(command, self.spec, self.positions)
        if sent.refused or command == Done():
            return super().execute(command)
        self.worker = threading.Thread(target=super().execute, args=(command,), daemon=True)
        self.worker.start()
        return sent

    def wait(self) -> None:
        if self.worker:
            self.worker.join()

    def disconnect(self) -> None:
        self.wait()
        super().disconnect()


class OnlySaysSo(Cart):
    """Says that it moved."""

    def execute(self, command: Command) -> Sent:
        self._require("execute")
        return limit(command, self.spec, self.positions)


class MovesHalf(Cart):
    """Drives half of what it says."""

    def execute(self, command: Command) -> Sent:
        if isinstance(command, MoveBase):
            half = super().execute(replace(command, distance_m=command.distance_m / 2))
            return replace(half, command=command)
        return super().execute(command)


class TellsAnotherCommand(Cart):
    """Turns as asked and tells of another turn."""

    def execute(self, command: Command) -> Sent:
        sent = super().execute(command)
        if isinstance(command, RotateBase) and sent.executed:
            return replace(sent, command=RotateBase(2 * command.angle_rad))
        return sent


class TurnsClockwise(Cart):
    """Counts turns clockwise."""

    def execute(self, command: Command) -> Sent:
        if isinstance(command, RotateBase):
            return replace(super().execute(RotateBase(-command.angle_rad)), command=command)
        return super().execute(command)


class ShortensLongSteps(Cart):
    """Drives its longest step, says so, and should have refused."""

    def execute(self, command: Command) -> Sent:
        if isinstance(command, MoveBase) and abs(command.distance_m) > 0.1:
            return replace(super().execute(MoveBase(math.copysign(0.1, command.distance_m))), clipped=("distance_m",))
        return super().execute(command)


class RefusesAndMoves(Cart):
    """Says that it refuses a long step, and drives."""

    def execute(self, command: Command) -> Sent:
        sent = super().execute(command)
        if isinstance(command, MoveBase) and sent.refused:
            super().execute(MoveBase(0.1))
        return sent


class ExecutesNaN(Cart):
    """Lets NaN through."""

    def execute(self, command: Command) -> Sent:
        if isinstance(command, MoveJoint) and math.isnan(command.delta):
            return Sent(command)
        return super().execute(command)


class RaisesBeyondLimits(Cart):
    """Raises for a target beyond the range."""

    def execute(self, command: Command) -> Sent:
        if limit(command, self.spec, self.positions).clipped:
            raise ValueError("out of range")
        return super().execute(command)


class IgnoresStop(Cart):
    """Goes on when it is stopped."""

    def stop(self) -> None:
        pass


class OnlySaysItStopped(ReturnsEarly):
    """Returns at the stop and goes on moving."""

    def execute(self, command: Command) -> Sent:
        sent = super().execute(command)
        self._stop.clear()
        while self.worker and self.worker.is_alive():
            if self._asked.wait(0.005):
                self._asked.clear()
                return replace(sent, blocked="stopped")
        return sent

    _asked = threading.Event()

    def stop(self) -> None:
        self._asked.set()


class HidesTheStop(Cart):
    """Stops, and says that it did what it was asked."""

    def execute(self, command: Command) -> Sent:
        return replace(super().execute(command), blocked="")


class StopsForGood(Cart):
    """Refuses whatever comes after a stop."""

    stopped = False

    def execute(self, command: Command) -> Sent:
        return Sent(command, refused="stopped") if self.stopped else super().execute(command)

    def stop(self) -> None:
        self.stopped = True
        super().stop()

    def connect(self) -> None:
        self.stopped = False
        super().connect()


class RepeatsStamps(Cart):
    """Gives every observation the stamp of its connection."""

    def observe(self) -> Observation:
        return replace(super().observe(), stamp_ns=int(self._connected_at * 1e9))


class StampsWallTime(Cart):
    """Stamps with the clock on the wall."""

    def observe(self) -> Observation:
        return replace(super().observe(), stamp_ns=time.time_ns())


class NeverObserves(Cart):
    """Waits for a camera that sends nothing, until the test has ended."""

    ended = threading.Event()

    def observe(self) -> Observation:
        self._require("observe")
        self.ended.wait()
        return super().observe()


class SeesInDouble(Cart):
    """Tells its state in float64."""

    def observe(self) -> Observation:
        seen = super().observe()
        return replace(seen, state={name: vector.astype(np.float64) for name, vector in seen.state.items()})


class Speeds(Cart):
    """Moves twice as fast as its spec allows."""

    def __init__(self, options: FakeOptions = OPTIONS) -> None:
        super().__init__(options)
        self._told, self._spec = self._spec, self._faster()

    def _faster(self) -> Embodiment:
        joints = {name: replace(one, max_speed=2 * one.max_speed) for name, one in self._spec.joints.items()}
        assert self._spec.base is not None
        base = replace(self._spec.base, max_speed_mps=0.6, max_turn_radps=2.0)
        return replace(self._spec, joints=joints, base=base)

    @property
    def spec(self) -> Embodiment:
        return self._told


class IgnoresItsOptions(Cart):
    """Moves at full speed whatever its options say."""

    def __init__(self, options: FakeOptions = OPTIONS) -> None:
        super().__init__(replace(options, speed=1.0))


class SlowOnPaper(Cart):
    """Tells lower speeds when it is slowed, and moves with its full ones."""

    def __init__(self, options: FakeOptions = OPTIONS) -> None:
        super().__init__(replace(options, speed=1.0))
        self._told = CART.slowed(options.speed)

    @property
    def spec(self) -> Embodiment:
        return self._told


class DragsTheWrist(Cart):
    """Its lift turns the wrist along."""

    def execute(self, command: Command) -> Sent:
        sent = super().execute(command)
        if isinstance(command, MoveJoint) and command.joint == "lift" and not sent.refused:
            self.positions["wrist"] += command.delta
        return sent


class DropsRows(Cart):
    """Goes to the last row of a chunk at once, and waits there for its time to pass."""

    def execute(self, command: Command) -> Sent:
        if not isinstance(command, Chunk) or len(command.rows) < 3 or limit(command, self.spec, self.positions).refused:
            return super().execute(command)
        began_s, lasts_s = time.monotonic(), len(command.rows) * command.period_s
        sent = super().execute(Chunk(command.names, command.rows[-1:], 0.3))
        stopped = self._stop.wait(lasts_s - (time.monotonic() - began_s))
        return replace(sent, command=command, blocked="stopped" if stopped else sent.blocked)


class PullsOpen(Cart):
    """Takes the gripper's aperture for a share."""

    def execute(self, command: Command) -> Sent:
        if isinstance(command, SetGripper) and math.isfinite(command.aperture_m):
            return replace(super().execute(SetGripper(0.1)), command=command)
        return super().execute(command)


class AnswersLate(Cart):
    """Asks its body before it tells of its health."""

    def health(self) -> Health:
        time.sleep(0.08)
        return Health()


class IsUnwell(Cart):
    """Has a fault and moves all the same."""

    def health(self) -> Health:
        return Health(fault="bus-off: no frame for 2 s")


class ConnectsOnce(Cart):
    """Its connection is used up by a disconnection."""

    used = False

    def disconnect(self) -> None:
        self.used = True
        super().disconnect()

    def observe(self) -> Observation:
        if self.used and self._connected:
            raise OSError("bad file descriptor")
        return super().observe()


class WorksUnconnected(Cart):
    """Executes before it is connected."""

    def execute(self, command: Command) -> Sent:
        return super().execute(command) if self._connected else Sent(command)


class LeavesWithoutStop(Cart):
    """Only disconnects when a context ends."""

    def __exit__(self, *_error: object) -> None:
        self.disconnect()


class FailsToStopUnconnected(Cart):
    """Needs a connection to stop."""

    def stop(self) -> None:
        if not self._connected:
            raise NotConnected("cart", "stop")
        super().stop()


GANTRY_JOINTS = {axis: JointLimits(-0.1, 1.0, 1.0) for axis in "xyz"} | {"gripper_aperture": JointLimits(0.0, 0.1, 0.4)}
GANTRY = Embodiment(
    name="gantry",
    cameras=(CameraSpec("front", 12, 16, 60.0),),
    state={"joints": VectorSpec(tuple(GANTRY_JOINTS), ("m",) * 4, (-0.2,) * 4, (1.1,) * 4)},
    actions={"done": Done()},
    joints=GANTRY_JOINTS,
    chunks=(cartesian_delta(0.02, 0.1), joint_positions(GANTRY_JOINTS, ("m",) * 4)),
    workspace=Workspace((0.0, 0.0, 0.0), (0.5, 0.5, 0.5)),
)


class Gantry(Cart):
    """An arm whose three joints are the place of its fingertips."""

    share = 1.0

    def __init__(self, options: FakeOptions = OPTIONS) -> None:
        super().__init__(options, GANTRY)

    def execute(self, command: Command) -> Sent:
        if not isinstance(command, Chunk) or command.names != (*POSE, GRIPPER):
            return super().execute(command)
        sent = limit(command, self.spec, self.positions)
        rows = self.rows(command)
        if sent.refused or (refusal := self.outside(rows)):
            return replace(sent, refused=sent.refused or refusal)
        return replace(super().execute(Chunk(self.spec.chunks[1].names, rows, command.period_s)), command=command)

    def rows(self, chunk: Chunk) -> tuple[tuple[float, ...], ...]:
        """Joint positions of each row."""
        here = np.array([self.positions[axis] for axis in "xyz"])
        ways = self.share * np.cumsum([row[:3] for row in chunk.rows], axis=0)
        return tuple((*(here + way).tolist(), 0.1 * row[6]) for way, row in zip(ways, chunk.rows))

    def outside(self, rows: tuple[tuple[float, ...], ...]) -> str:
        """Why the rows are refused, or nothing."""
        box = self.spec.workspace
        assert box is not None
        for number, row in enumerate(rows):
            if not all(low <= value <= high for low, value, high in zip(box.low, row, box.high)):
                return f"out of workspace: row {number} leads to {row[:3]}"
        return ""


class LeavesItsWorkspace(Gantry):
    """Goes where its joints let it."""

    def outside(self, rows: tuple[tuple[float, ...], ...]) -> str:
        return ""


class TakesStepsForHalf(Gantry):
    """Moves its fingertips by half of the increments."""

    share = 0.5


class Jumps(Gantry):
    """Follows any row, however far."""

    def execute(self, command: Command) -> Sent:
        sent = super().execute(command)
        if sent.refused.startswith("jump") and isinstance(command, Chunk):
            return replace(super().execute(Done()), command=command)
        return sent

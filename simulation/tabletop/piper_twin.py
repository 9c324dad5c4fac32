"""A Piper on a table in MuJoCo, behind the same protocol as the real one."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from simulation.rendering import gl  # noqa: F401  first: it chooses MuJoCo's back-end

import mujoco  # isort: skip
import numpy as np
from numpy.typing import NDArray

from robots.arms.kinematics import Kinematics, rotation_vector
from robots.arms.planner import ArmPlanner, Plan, Refused
from robots.arms.running_plan import RunningPlan
from robots.arms.tracking import HELD_S, SettleDetector, goal_error, tracking_error
from robots.command import Chunk, Command, Done, Stop
from robots.embodiment import Embodiment
from robots.embodiments.mount import Mount
from robots.embodiments.piper import ACCELERATION_RADPS2, CAMERAS, HOME_RAD, MOUNTS, PIPER_URDF, piper
from robots.embodiments.piper_urdf import ARM, TIP
from robots.errors import NotConnected
from robots.limits import limit
from robots.observation import Observation
from robots.robot import Connected, Sent
from robots.spec import F32Vector
from simulation.rendering.renderer import FAST, Renderer
from simulation.tabletop.piper_scene import CUBE_SIDE_M, FINGERS, TIMESTEP_S, scene_xml
from simulation.twins.motion import ASLEEP_S

STOPPED = "stopped"
SLICE = 10  # simulation steps between two checks of stop, contact and clock
TOUCH_N = 5.0  # the arm pushes on the table with more than this: contact
MARGIN_S = 2.0  # time limit of a motion beyond its planned duration
SETTLE_S = 1.0  # a stopped arm comes to rest within this


@dataclass(frozen=True)
class PiperTwinOptions:
    """Options of the twin.

    Attributes:
        height: of the camera images, pixels.
        width: of the camera images, pixels.
        real_time: motions take as long as on the real arm, `stop` interrupts them, and chunks may be joined.
        speed: fraction of the arm's top speeds at which it moves, in (0, 1].
        floor_m: the fingertips stay above this height over the table [m].
        seed: of the cube's place, which each `reset` draws.
    """

    height: int = 240
    width: int = 320
    real_time: bool = False
    speed: float = 1.0
    floor_m: float = 0.0
    seed: int = 0


class PiperTwin(Connected):
    """A simulated Piper with a cube to see and to grasp. `observe` and `reset` belong to one thread."""

    def __init__(self, options: PiperTwinOptions = PiperTwinOptions()) -> None:
        self.options = options
        cameras = tuple(replace(camera, height=options.height, width=options.width) for camera in CAMERAS)
        self._spec = piper(options.speed, options.floor_m, cameras)
        self._model = mujoco.MjModel.from_xml_string(scene_xml(CAMERAS[0].vertical_fov_deg))
        self._data = mujoco.MjData(self._model)
        self._chain = [self._model.joint(name).qposadr[0] for name in (*ARM, *FINGERS)]
        self._planner: ArmPlanner | None = None
        self._renderer: Renderer | None = None
        self._lock, self._moving, self._stopped = threading.RLock(), threading.Lock(), threading.Event()
        self._told = np.zeros(len(self._spec.joints))
        self._simulated_s = 0.0  # simulated time of a motion, as the clock's that it keeps up with
        self._running = RunningPlan(lambda: self._simulated_s)
        self.reset(options.seed)

    @property
    def spec(self) -> Embodiment:
        """Embodiment of the arm at the options' speed, with two cameras of the options' size."""
        return self._spec

    def connect(self) -> None:
        """Makes the planner; ConnectionFailed when Pinocchio is missing."""
        self._planner = ArmPlanner(self._spec, ARM, Kinematics(PIPER_URDF, ARM, TIP), ACCELERATION_RADPS2)

    def disconnect(self) -> None:
        """Frees the renderer."""
        self._planner = None
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def reset(self, seed: int) -> None:
        """Puts the arm at home with closed fingers, and the cube at a place in front of it that depends on `seed`."""
        rng = np.random.default_rng(seed)
        with self._lock:
            mujoco.mj_resetData(self._model, self._data)
            self._told[:] = (*HOME_RAD, 0.0)
            self._data.qpos[self._chain] = (*HOME_RAD, 0.0, 0.0)
            self._data.ctrl[:] = self._data.qpos[self._chain]
            angle = rng.uniform(-np.pi, np.pi)
            place = (rng.uniform(0.28, 0.45), rng.uniform(-0.15, 0.15), CUBE_SIDE_M / 2)
            self._data.joint("cube").qpos[:] = (*place, np.cos(angle / 2), 0.0, 0.0, np.sin(angle / 2))
            mujoco.mj_forward(self._model, self._data)

    @property
    def mounts(self) -> Mapping[str, Mount]:
        """Where the scene has its cameras, by their names."""
        return MOUNTS

    @property
    def cube(self) -> NDArray[np.float64]:
        """Centre of the cube in the base frame, (3,) [m]: for tasks and judges, not for policies."""
        return np.array(self._data.body("cube").xpos)

    @property
    def tip(self) -> NDArray[np.float64]:
        """The point between the fingertips as simulated, (3,) [m]."""
        return np.array(self._data.site("fingertips").xpos)

    def observe(self) -> Observation:
        """Returns both images, the joints and the fingertips. Raises NotConnected."""
        planner = self._require("observe")
        if self._renderer is None:
            self._renderer = Renderer(self._model, self.options.height, self.options.width, FAST)
        with self._lock:
            stamp_ns = int(self._simulated_s * 1e9) if self._running.open else time.monotonic_ns()
            images = self._renderer.render(self._data, [camera.name for camera in self._spec.cameras])
            return Observation(stamp_ns, images, self._state(planner))

    def execute(self, command: Command) -> Sent:
        """Moves until the simulated joints have arrived; the result states why they have not."""
        planner = self._require("execute")
        with self._moving:
            self._stopped.clear()
            sent = limit(command, self._spec, dict(zip(self._spec.joints, self._positions().tolist(), strict=True)))
            if sent.refused or isinstance(command, Done | Stop):
                return sent
            try:
                plan = planner.plan(sent.command, dict(zip(self._spec.joints, self._told.tolist(), strict=True)))
            except Refused as refusal:
                return replace(sent, refused=str(refusal))
            joins = isinstance(command, Chunk) and command.joins and self.options.real_time
            return replace(sent, blocked=self._follow(plan, joins))

    @property
    def following(self) -> bool:
        """Whether a chunk runs that another may be joined on to."""
        return self._running.open

    def join(self, chunk: Chunk, sensed_ns: int) -> Sent:
        """Joins `chunk` on to the one that runs; in real time only."""
        return self._running.join(self._require("join"), chunk, sensed_ns / 1e9)

    def stop(self) -> None:
        """Ends a running motion: the joints hold, the gripper keeps its aperture."""
        self._stopped.set()
        self._running.close()

    def _require(self, operation: str) -> ArmPlanner:
        if self._planner is None:
            raise NotConnected(self._spec.name, operation)
        return self._planner

    def _positions(self) -> NDArray[np.float64]:
        """Measured joints [rad] and aperture [m], (7,)."""
        qpos = self._data.qpos[self._chain]
        return np.array([*qpos[:-2], qpos[-2] + qpos[-1]])

    def _state(self, planner: ArmPlanner) -> dict[str, F32Vector]:
        positions = self._positions()
        assert planner.kinematics is not None  # `connect` made it
        place, rotation = planner.kinematics.forward(positions[:-1])
        tip = np.concatenate([place, rotation_vector(rotation)])
        return {"joints": positions.astype(np.float32), "tip": tip.astype(np.float32)}

    def _follow(self, plan: Plan, joins: bool) -> str:
        self._simulated_s = time.monotonic()
        self._running.begin(plan, joins)
        try:
            blocked = self._play()
        finally:
            self._running.end()
        if blocked:
            self._hold()
        return blocked

    def _play(self) -> str:
        """Simulates until the joints are at rest at the plan's end; returns why they are not, or ""."""
        names, detector, begun = tuple(self._spec.joints), SettleDetector(), self._told.copy()
        while True:
            plan, elapsed = self._advance(begun)
            measured, now = self._positions(), self._simulated_s
            fault = self._touched() or tracking_error(plan.arm, elapsed, names[:-1], measured[:-1])
            if fault or self._waited(now):
                return fault or STOPPED
            goal = dict(zip(names, plan.row(begun, plan.duration_s).tolist(), strict=True))
            still = detector.settled(now, measured)
            held = bool(detector.settled(now, measured, HELD_S)[-1])
            if elapsed >= plan.duration_s and still.all() and not goal_error(goal, measured, held):
                return ""
            if elapsed >= plan.duration_s + MARGIN_S:
                return f"time limit: {goal_error(goal, measured, False) or 'the arm does not stand'}"

    def _advance(self, begun: NDArray[np.float64]) -> tuple[Plan, float]:
        """Simulates a slice of the plan that runs; returns it and the time since its start [s]."""
        with self._lock, self._running.lock:
            plan = self._running.plan
            elapsed = self._simulated_s - self._running.began_s
            for step in range(1, SLICE + 1):
                self._tell(plan.row(begun, elapsed + step * TIMESTEP_S))
                mujoco.mj_step(self._model, self._data)
            self._simulated_s += SLICE * TIMESTEP_S
            return plan, self._running.elapsed_s()

    def _hold(self) -> None:
        """Commands the joints to hold their positions and waits until they are at rest."""
        detector, elapsed = SettleDetector(), 0.0
        measured = self._positions()
        with self._lock:
            self._tell(np.array([*measured[:-1], self._told[-1]]))
        began_s = time.monotonic()
        while elapsed < SETTLE_S and not detector.settled(elapsed, self._positions()).all():
            with self._lock:
                mujoco.mj_step(self._model, self._data, SLICE)
            elapsed += SLICE * TIMESTEP_S
            if self.options.real_time:
                time.sleep(max(0.0, began_s + elapsed - time.monotonic()))

    def _tell(self, row: NDArray[np.float64]) -> None:
        """Sets the servos' targets: joints [rad] and aperture [m]."""
        self._told[:] = row
        self._data.ctrl[:] = (*row[:-1], row[-1] / 2, row[-1] / 2)

    def _waited(self, until_s: float) -> bool:
        """Waits for the clock in real time; returns whether it was stopped or the process suspended meanwhile."""
        if self.options.real_time:
            began_s = max(until_s, time.monotonic())  # a slow machine is not a suspended process
            stopped = self._stopped.wait(max(0.0, until_s - time.monotonic()))
            return stopped or time.monotonic() - began_s > ASLEEP_S
        return self._stopped.is_set()

    def _touched(self) -> str:
        """Returns the contact of the arm with the table, or ""."""
        force = np.zeros(6)
        for index in range(self._data.ncon):
            pair = self._data.contact[index].geom
            names = {self._model.geom(int(geom)).name for geom in pair}
            if "table" in names and "cube" not in names:
                mujoco.mj_contactForce(self._model, self._data, index, force)
                if force[0] > TOUCH_N:
                    return f"contact: {(names - {'table'}).pop()} with the table"
        return ""

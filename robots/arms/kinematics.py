"""Forward and inverse kinematics of an arm.

Needs Pinocchio (`pip install -e '.[arm]'`), which is imported when a `Kinematics` is made.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from robots.embodiment import JointLimits
from robots.errors import NotInstalled, RobotError, SpecError

F64 = npt.NDArray[np.float64]

TOLERANCE_M, TOLERANCE_RAD = 1e-5, 1e-4
"""A solution is this near what was asked; an arm repeats to 1e-4 m at best."""

ITERATIONS = 60
"""Near a solution five are enough; more only help targets that are far."""

LONGEST_STEP_RAD = 0.2
"""No joint moves further in one iteration, so that the search stays on this side of a fold of the arm."""


class Unreachable(RobotError):
    """No joints within their limits, near the present ones, bring the tip to the place."""


class Kinematics:
    """Forward and inverse kinematics of a chain of joints. Any thread may call.

    Args:
        urdf: the text of the arm's URDF; joints of it that are not named stay at zero.
        joints: names of the chain's revolute or prismatic joints; `q` below is in this order, [rad] or [m].
        tip: the link between the fingertips.

    Attributes:
        length_m: the tip is nowhere further from any of the joints: the links one after the other.

    Raises:
        ConnectionFailed: Pinocchio is not installed.
        SpecError: the URDF has no such joint or link, or the joint turns without end.
    """

    def __init__(self, urdf: str, joints: tuple[str, ...], tip: str) -> None:
        self._pin = _pinocchio()
        self.joints, self.tip = joints, tip
        whole = self._pin.buildModelFromXML(urdf)
        _check_names("joint", joints, list(whole.names)[1:])
        _check_names("link", (tip,), [frame.name for frame in whole.frames])
        others = [index for index, name in enumerate(whole.names) if index > 0 and name not in joints]
        self._model = self._pin.buildReducedModel(whole, others, self._pin.neutral(whole))
        if self._model.nq != len(joints):
            raise SpecError("joints of a chain", joints, "revolute joints with limits, or prismatic ones")
        self._order = np.array([self._model.joints[self._model.getJointId(name)].idx_q for name in joints])
        self._data = self._model.createData()
        self._frame = self._model.getFrameId(tip)
        self._lock = threading.Lock()
        places = [*list(self._model.jointPlacements)[1:], self._model.frames[self._frame].placement]
        slides = [r for r in range(self._model.nq) if self._model.joints[r + 1].shortname().startswith("JointModelP")]
        reach = np.maximum(np.abs(self._model.lowerPositionLimit), np.abs(self._model.upperPositionLimit))
        self.length_m = float(sum(np.linalg.norm(place.translation) for place in places) + reach[slides].sum())

    def forward(self, q: Sequence[float] | F64) -> tuple[F64, F64]:
        """Position (3,) [m] and rotation (3, 3) of the tip in the base frame for joints `q` (n,)."""
        with self._lock:
            place = self._place(np.asarray(q, dtype=np.float64))
            return np.array(place.translation), np.array(place.rotation)

    def inverse(
        self,
        position: Sequence[float] | F64,
        rotation: F64,
        start_q: Sequence[float] | F64,
        limits: Mapping[str, JointLimits],
        longest_jump: float = 0.5,
    ) -> F64:
        """Joints (n,) within `limits` (joint name -> range) that bring the tip to that pose, near `start_q`.

        Damped least squares (Sugihara 2011, "Solvability-unconcerned inverse kinematics by the Levenberg-Marquardt
        method": damping grows with the error), with joints at a limit taken out of the step.

        Args:
            position: of the tip in the base frame, (3,) [m].
            rotation: of the tip in the base frame, (3, 3).
            start_q: where the joints are, (n,).
            limits: of each joint of the chain.
            longest_jump: how far a joint may end from its start [rad] or [m].

        Raises:
            Unreachable: the search ends elsewhere, or its end is further than `longest_jump`.
        """
        low = np.array([limits[name].low for name in self.joints])
        high = np.array([limits[name].high for name in self.joints])
        start = np.clip(np.asarray(start_q, dtype=np.float64), low, high)
        with self._lock:
            target = self._pin.SE3(np.asarray(rotation, dtype=np.float64), np.asarray(position, dtype=np.float64))
            q, off = self._search(target, start, low, high)
        if np.linalg.norm(off[:3]) > TOLERANCE_M or np.linalg.norm(off[3:]) > TOLERANCE_RAD:
            missing = f"{np.linalg.norm(off[:3]):.4f} m and {np.linalg.norm(off[3:]):.3f} rad"
            raise Unreachable(f"unreachable: {_text(position)} m is missed by {missing} within the joint limits")
        worst = int(np.argmax(np.abs(q - start)))
        if abs(q[worst] - start[worst]) > longest_jump:
            jump = f"a jump of {self.joints[worst]} by {q[worst] - start[worst]:.3f}"
            raise Unreachable(f"unreachable: {_text(position)} m needs {jump}, expected at most {longest_jump}")
        return q

    def _search(self, target: Any, q: F64, low: F64, high: F64) -> tuple[F64, F64]:
        """The best joints found from `q`, and what they are off by: (6,) translation [m], rotation vector [rad]."""
        for _ in range(ITERATIONS):
            off = self._off(target, q)
            if np.linalg.norm(off[:3]) < TOLERANCE_M / 10 and np.linalg.norm(off[3:]) < TOLERANCE_RAD / 10:
                return q, off
            jacobian = self._jacobian(q)
            step = _damped(jacobian, off)
            leaves = ((q <= low) & (step < 0)) | ((q >= high) & (step > 0))
            if leaves.any():
                step = _damped(jacobian * ~leaves, off)
            step *= min(1.0, LONGEST_STEP_RAD / max(float(np.abs(step).max()), 1e-12))
            q = np.clip(q + step, low, high)
        return q, self._off(target, q)

    def _place(self, q: F64) -> Any:
        self._pin.forwardKinematics(self._model, self._data, self._inside(q))
        return self._pin.updateFramePlacement(self._model, self._data, self._frame)

    def _off(self, target: Any, q: F64) -> F64:
        off: F64 = np.asarray(self._pin.log6(self._place(q).actInv(target)).vector, dtype=np.float64)
        return off

    def _jacobian(self, q: F64) -> F64:
        whole = self._pin.computeFrameJacobian(self._model, self._data, self._inside(q), self._frame)
        return np.array(whole[:, self._order])

    def _inside(self, q: F64) -> F64:
        """`q` in Pinocchio's order of the joints."""
        inside = np.zeros(len(q))
        inside[self._order] = q
        return inside


def rotation_of(vector: Sequence[float] | F64) -> F64:
    """The rotation (3, 3) by a rotation vector (3,) [rad] (Rodrigues' formula)."""
    x, y, z = (float(number) for number in vector)
    angle = float(np.sqrt(x * x + y * y + z * z))
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    if angle < 1e-9:
        return np.asarray(np.eye(3) + cross)
    sine, versine = np.sin(angle) / angle, (1.0 - np.cos(angle)) / angle**2
    return np.asarray(np.eye(3) + sine * cross + versine * cross @ cross)


def rotation_vector(rotation: F64) -> F64:
    """The rotation vector (3,) [rad] of a rotation (3, 3), of length 0 to pi; the inverse of `rotation_of`."""
    cosine = min(max((float(np.trace(rotation)) - 1.0) / 2.0, -1.0), 1.0)
    skew = np.array([rotation[2, 1] - rotation[1, 2], rotation[0, 2] - rotation[2, 0], rotation[1, 0] - rotation[0, 1]])
    angle = float(np.arctan2(np.linalg.norm(skew) / 2.0, cosine))
    if angle < 1e-6:
        return np.asarray(skew / 2.0)
    if angle < np.pi - 1e-3:
        return np.asarray(angle / (2.0 * np.sin(angle)) * skew)
    square = (rotation + rotation.T) / 2.0 - np.cos(angle) * np.eye(3)  # near a half turn: (1 - cos) axis axis^T
    axis = square[:, int(np.argmax(np.diag(square)))]
    axis = axis / np.linalg.norm(axis)
    return np.asarray(angle * (axis if float(axis @ skew) >= 0.0 else -axis))


def _damped(jacobian: F64, off: F64) -> F64:
    damping = 0.5 * float(off @ off) + 1e-9
    square = jacobian.T @ jacobian + damping * np.eye(jacobian.shape[1])
    return np.asarray(np.linalg.solve(square, jacobian.T @ off))


def _check_names(kind: str, wanted: Sequence[str], known: Sequence[str]) -> None:
    for name in wanted:
        if name not in known:
            raise SpecError(f"{kind} of the URDF", repr(name), f"one of {', '.join(known)}")


def _text(position: Sequence[float] | F64) -> str:
    return "(" + ", ".join(f"{float(number):.3f}" for number in position) + ")"


def _pinocchio() -> Any:
    try:
        import pinocchio  # type: ignore[import-untyped,import-not-found,unused-ignore]
    except ImportError as error:
        raise NotInstalled(f"Pinocchio cannot be imported ({error}): pip install -e '.[arm]'") from error
    return pinocchio

"""A LIBERO task that is stepped: one model, any number of states, no images unless somebody looks."""

from __future__ import annotations

from pathlib import Path

import mujoco
import numpy as np
import numpy.typing as npt

from simulation.errors import EpisodeError
from simulation.libero import operational_space
from simulation.libero.predicates import is_success
from simulation.libero.scene import Scene

SUBSTEPS = 25
"""At 2 ms each: actions come at 20 Hz."""

HAND = "gripper0_grip_site"
FREE_FINGERS = 0.0
"""Normalised position of the fingers after a reset: half open."""

Floats = npt.NDArray[np.float64]


class LiberoWorld:
    """The Panda and the objects of one task.

    Args:
        folder: of a task made ready by `preparation.prepare`.
        sleep: whether bodies at rest are left out of the physics until something touches them. Two to four times as
            fast (benchmarks/libero_speed.py); without contact the arm's joints differ by less than 1e-5 rad.

    Attributes:
        scene: what the names in the model mean.
        model: MuJoCo's.
        data: its state.
    """

    def __init__(self, folder: Path, sleep: bool = True) -> None:
        self.scene, self.model = Scene.load(folder)
        if sleep:
            self.model.opt.enableflags |= mujoco.mjtEnableBit.mjENBL_SLEEP
        self.data = mujoco.MjData(self.model)
        self._site = int(self.model.site(HAND).id)
        self._rest = np.array(self.scene.rest)
        self._goal_rotation, self._fingers = np.array(self.scene.goal_rotation), np.full(2, FREE_FINGERS)
        self._arm_limits = self.model.actuator_ctrlrange[: operational_space.ARM, 1].copy()
        self._finger_ranges = self.model.actuator_ctrlrange[operational_space.ARM :].copy()
        self._dense = np.zeros((self.model.nv, self.model.nv))
        self._jacobians = np.zeros((2, 3, self.model.nv))

    def reset(self, state: Floats) -> None:
        """Puts everything where an initial state says: (1 + nq + nv,) time, qpos, qvel, as LIBERO stores them.

        Raises EpisodeError for a state of another task.
        """
        nq, nv = self.model.nq, self.model.nv
        if state.shape != (1 + nq + nv,) or not np.isfinite(state).all():
            raise EpisodeError(f"an initial state of shape {state.shape}", f"{1 + nq + nv} finite numbers")
        mujoco.mj_resetData(self.model, self.data)
        self.data.time, self.data.qpos[:], self.data.qvel[:] = state[0], state[1 : 1 + nq], state[1 + nq :]
        self._goal_rotation[:] = self.scene.goal_rotation
        self._fingers[:] = FREE_FINGERS
        mujoco.mj_forward(self.model, self.data)

    def step(self, action: Floats) -> None:
        """Does one action of 50 ms: (7,) in [-1, 1], 0.05 m and 0.5 rad at most, gripper closing above 0.

        Raises EpisodeError for an action that is none; nothing moves then.
        """
        if action.shape != (7,) or not np.isfinite(action).all():
            raise EpisodeError(f"action {action}", "7 finite numbers")
        data = self.data
        operational_space.run(
            self.model._address,
            data._address,
            SUBSTEPS,
            self._site,
            np.ascontiguousarray(action, np.float64),
            self._goal_rotation,
            self._rest,
            self._fingers,
            self._arm_limits,
            self._finger_ranges,
            data.site_xpos[self._site],
            data.site_xmat[self._site].reshape(3, 3),
            data.qpos,
            data.qvel,
            data.qfrc_bias,
            data.ctrl,
            self._dense,
            self._jacobians[0],
            self._jacobians[1],
        )

    def is_success(self) -> bool:
        """Whether the task is done now. LIBERO looks after an action, at contacts of its last substep; so does this."""
        return is_success(self.scene, self.data)

    @property
    def state(self) -> Floats:
        """(1 + nq + nv,) time, qpos, qvel: what `reset` takes."""
        return np.concatenate([[self.data.time], self.data.qpos, self.data.qvel])

    @property
    def arm(self) -> Floats:
        """(7,) the arm's joints [rad]."""
        joints: Floats = self.data.qpos[: operational_space.ARM].copy()
        return joints

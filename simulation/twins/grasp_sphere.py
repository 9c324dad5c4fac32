"""Grasping by the hand sphere: which object the gripper of a Stretch takes, and how it moves with the hand.

The rule is AI2-THOR's `PickupObject`, as CHORES plays it: a pickupable object that touches the sphere between the
gripper's fingertips is taken, and keeps its place in the hand (allenai/ai2thor unity/Assets/Scripts/ArmController.cs,
called by FLaRe environment/stretch_controller.py). Radius 0.06 m: `arm.handSphereRadius` in the metadata of AI2-THOR's
`stretch` agent; FLaRe never changes it. Two things differ. AI2-THOR takes everything in the sphere, here the nearest
object is taken. AI2-THOR's held object still collides with the house, here it collides with nothing until released.
"""

from __future__ import annotations

import math

from simulation.rendering import gl  # noqa: F401  (first: it chooses MuJoCo's back-end)

import mujoco  # isort: skip
import numpy as np
import numpy.typing as npt

from simulation.houses.house import HouseObject
from simulation.robot_models.stretch import StretchBody
from simulation.twins.world import World, wrapped

HAND_SPHERE_M = 0.06

PICKUPABLE = ("alarm clock", "apple", "basketball", "bowl", "laptop", "mug", "spray bottle", "vase")
"""Categories that a gripper can take: those of CHORES-S that are pickupable in AI2-THOR."""

_SEEN_GROUPS = np.array([1, 1, 0, 0, 1, 1], dtype=np.uint8)  # without the robot (2) and hidden boxes (3)
_DOWN = np.array([0.0, 0.0, -1.0])


class Hand:
    """The gripper of the Stretch in a world.

    Args:
        world: a house with a Stretch; the hand moves its objects.

    Attributes:
        thing: name of the held object, None when the hand is empty.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.thing: str | None = None
        self._offset_m = np.zeros(3)
        self._turn_rad = 0.0

    @property
    def centre_m(self) -> npt.NDArray[np.float64]:
        """Grasp centre (3,) in the world."""
        return np.array(self.world.data.body(StretchBody.GRASP_CENTRE).xpos)

    @property
    def yaw_rad(self) -> float:
        """Direction of the fingers."""
        x, y, _ = self.centre_m - self.world.data.body("link_gripper").xpos
        return math.atan2(y, x)

    def nearest(self) -> HouseObject | None:
        """Returns the pickupable object in the hand sphere nearest to its centre, None when there is none."""
        centre = self.centre_m
        within = [
            (away, math.dist(centre, thing.position_m), thing)
            for thing in self.world.house.objects
            if thing.category in PICKUPABLE and (away := distance_m(thing, centre)) <= HAND_SPHERE_M
        ]
        return min(within, key=lambda candidate: candidate[:2])[2] if within else None

    def take(self, thing: HouseObject) -> None:
        """Attaches `thing` to the hand; it follows the hand and collides with nothing."""
        self._offset_m = _turned(np.array(thing.position_m) - self.centre_m, -self.yaw_rad)
        self._turn_rad = thing.yaw_rad - self.yaw_rad
        self.thing = thing.name
        self.world.set_solid(thing.name, False)
        self.world.carry = self._bring

    def release(self) -> None:
        """Releases the held object: it ends upright on the surface below its centre, a table or the floor.

        An object that was an obstacle on the floor is one again, unless the robot overlaps it.
        """
        assert self.thing is not None
        thing = self.world.object(self.thing)
        x, y, z = thing.position_m
        below = support_m(self.world, thing)
        self.thing, self.world.carry = None, None
        self.world.put(thing.name, (x, y, below + thing.size_m[2] / 2 if below < z else z), thing.yaw_rad)
        self.world.set_solid(thing.name, True)
        if self.world.contact() == thing.name:
            self.world.set_solid(thing.name, False)

    def _bring(self) -> None:
        assert self.thing is not None
        x, y, z = self.centre_m + _turned(self._offset_m, self.yaw_rad)
        self.world.put(self.thing, (float(x), float(y), float(z)), wrapped(self.yaw_rad + self._turn_rad))


def distance_m(thing: HouseObject, point_m: npt.NDArray[np.float64]) -> float:
    """Distance [m] from a point (3,) to an object's bounding box, 0 inside."""
    local = np.abs(_turned(point_m - np.array(thing.position_m), -thing.yaw_rad))
    return float(np.linalg.norm(np.maximum(local - np.array(thing.size_m) / 2, 0.0)))


def support_m(world: World, thing: HouseObject) -> float:
    """Height [m] of the surface under the centre of an object; the floor is at 0."""
    start = np.array(thing.position_m)
    geom, body = np.array([-1], dtype=np.int32), world.model.body(thing.name).id
    down = mujoco.mj_ray(world.model, world.data, start, _DOWN, _SEEN_GROUPS, 1, body, geom)
    return max(0.0, float(start[2] - down)) if down >= 0 else 0.0


def _turned(vector: npt.NDArray[np.float64], angle_rad: float) -> npt.NDArray[np.float64]:
    c, s = math.cos(angle_rad), math.sin(angle_rad)
    return np.array([c * vector[0] - s * vector[1], s * vector[0] + c * vector[1], vector[2]])

"""Takes an object and puts it down: the waypoints for one grasp."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulation.libero.expert.grasp import Grasp
from simulation.libero.expert.shape import object_points
from simulation.libero.expert.waypoint import CLOSED, OPEN, UP, Waypoint, downwards, never
from simulation.libero.predicates import holds, touches
from simulation.libero.world import Floats, LiberoWorld

ABOVE_M = 0.10
"""The hand comes from so far above."""

FUNNEL = 3.0
"""So much higher than it ends is the hand for each metre that it is beside the place."""

CLEAR_M = 0.05
"""An object is carried so far above what it is put on or in."""

DRAWER_M = 0.05
"""More over the rim of a drawer, which would be pushed shut."""

LOWERING_M = 0.012
"""The hand goes down towards a point so far below it: a quarter of its speed."""

CLOSE_ACTIONS, RELEASE_ACTIONS, WATCH_ACTIONS = 9, 8, 5
SLIPPED_M = 0.06
"""An object that has moved so far in the hand is lost."""

NEAR_M, CENTRED_M = 0.01, 0.015


@dataclass(frozen=True)
class Destination:
    """Where an object is put down.

    Attributes:
        literal: of the goal that then holds.
        offset_m: (2,) horizontally, from the middle of the place.
        slide: whether the object stays down: it is pushed there.
    """

    literal: tuple[str, ...]
    offset_m: tuple[float, float] = (0.0, 0.0)
    slide: bool = False


def carry(world: LiberoWorld, grasp: Grasp, to: Destination) -> list[Waypoint]:
    """Waypoints that take the object of a literal (word, object, place) and put it down there."""
    name, place = to.literal[1:]
    thing = world.scene.objects[name]
    turn = downwards(grasp.yaw_rad)
    start_m = world.data.xpos[thing.body] + grasp.offset_m
    over_m = max(top_m(world, place), world.data.xpos[thing.body][2] if not to.slide else -np.inf) + CLEAR_M
    below_m = start_m[2] - object_points(world, name)[:, 2].min()  # of the hand, above what the object stands on
    height_m = start_m[2] + 0.004 if to.slide else max(over_m + below_m, start_m[2] + _rise_m(world, name))

    def grip(now: LiberoWorld) -> Floats:
        point: Floats = now.data.xpos[thing.body] + grasp.offset_m
        beside = float(np.linalg.norm((now.hand_m - point)[:2]))
        return point + min(FUNNEL * max(beside - NEAR_M, 0.0), ABOVE_M) * UP

    def away(now: LiberoWorld) -> Floats:
        """From where the object is to where it belongs, horizontally."""
        way = centre_m(now, place)[:2] + to.offset_m - now.data.xpos[thing.body][:2]
        return np.append(way, 0.0)

    def down(now: LiberoWorld) -> Floats:
        return now.hand_m + away(now) - LOWERING_M * UP

    def lost(now: LiberoWorld) -> bool:
        slipped = now.data.xpos[thing.body] + grasp.offset_m - now.hand_m
        return bool(np.linalg.norm(slipped) > SLIPPED_M)

    def at_rest(now: LiberoWorld) -> bool:
        return _is_down(now, name, place) or (to.literal[0] == "in" and holds(now.scene, now.data, to.literal))

    def high(now: LiberoWorld) -> Floats:
        return np.append(now.hand_m[:2] + away(now)[:2], height_m)

    return [
        Waypoint("reach", grip, turn, OPEN, lambda now: bool(np.abs(now.hand_m - grip(now)).max() < NEAR_M), 70, True),
        Waypoint("close", lambda now: start_m, turn, CLOSED, never, CLOSE_ACTIONS, fails=lost),
        Waypoint(
            "lift",
            lambda now: np.array([start_m[0], start_m[1], height_m]),
            turn,
            CLOSED,
            lambda now: bool(now.hand_m[2] > height_m - 2 * NEAR_M),
            25,
            fails=lost,
        ),
        Waypoint("carry", high, turn, CLOSED, lambda now: bool(np.abs(away(now)).max() < CENTRED_M), 70, fails=lost),
        Waypoint("lower", down, turn, CLOSED, at_rest, 40, True, lost),
        Waypoint("release", lambda now: now.hand_m, turn, OPEN, never, RELEASE_ACTIONS),
        Waypoint("leave", lambda now: now.hand_m + ABOVE_M * UP, turn, OPEN, never, 4),
    ]


def watch(world: LiberoWorld, name: str) -> Waypoint:
    """A waypoint above an object that has not come to rest yet."""
    body = world.scene.objects[name].body
    return Waypoint(
        "watch", lambda now: now.data.xpos[body] + 2 * ABOVE_M * UP, downwards(0.0), OPEN, never, WATCH_ACTIONS
    )


def _rise_m(world: LiberoWorld, name: str) -> float:
    """How far an object is lifted at least: out of what it stands in, where that is a fixture."""
    things = world.scene.objects
    inside = any(touches(world.data, things[fixture], things[name]) for fixture in world.fixtures)
    return ABOVE_M if inside else ABOVE_M / 2


def centre_m(world: LiberoWorld, place: str) -> Floats:
    """The middle (3,) of an object or of a region."""
    if place in world.scene.sites:
        point: Floats = world.data.site_xpos[world.scene.sites[place].site]
    else:
        point = world.data.xpos[world.scene.objects[place].body]
    return point.copy()


def top_m(world: LiberoWorld, place: str) -> float:
    """Height of what an object must be lifted over to be put on or in a place."""
    site = world.scene.sites.get(place)
    if site is None:
        return float(object_points(world, place)[:, 2].max())
    middle = float(world.data.site_xpos[site.site][2])
    if not site.parent:  # a place on the table
        return middle
    owner = world.scene.objects[site.parent]
    reach = 0.15 if owner.free < 0 else np.inf
    points = object_points(world, site.parent)
    near = np.linalg.norm(points[:, :2] - centre_m(world, place)[:2], axis=1) < reach
    top = float(points[near, 2].max()) if near.any() else middle
    return top + DRAWER_M if site.joints else top


def _is_down(world: LiberoWorld, name: str, place: str) -> bool:
    """Whether an object touches what it is put on."""
    site = world.scene.sites.get(place)
    support = place if site is None else site.parent
    return bool(support) and touches(world.data, world.scene.objects[support], world.scene.objects[name])

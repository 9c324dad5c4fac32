"""PickUp and Fetch: episodes, rules, where the arm reaches, and the expert."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from robots.command import Grasp
from robots.embodiments.stretch_re1 import ACTIONS
from simulation.episode import EpisodeSpec
from simulation.errors import EpisodeGenerationError, SeedError
from simulation.experts.pick_up import PickUpExpert
from simulation.houses.cache import cached_house
from simulation.houses.clearance import Obstacle
from simulation.houses.house import House
from simulation.navigation.arm_reach import ARM_M, BEFORE_M, HAND_RIGHT_M, NECK, Reach, cached_reach
from simulation.navigation.goals import cached_space
from simulation.navigation.visibility import sample_points
from simulation.task_registry import is_success, task
from simulation.tasks import fetch, pick_up
from simulation.twins.grasp_sphere import PICKUPABLE, Hand
from simulation.twins.house_twin import StretchTwin


@pytest.fixture(scope="module")
def twin() -> Iterator[StretchTwin]:
    with StretchTwin() as twin:
        yield twin


def played(twin: StretchTwin, episode: EpisodeSpec, most: int = 200) -> list[str]:
    """The expert's actions, up to `done`."""
    twin.reset(episode)
    expert = task(episode.task).expert(twin)
    actions: list[str] = []
    while not actions or (actions[-1] != "done" and len(actions) < most):
        actions.append(expert.action())
        twin.execute(ACTIONS[actions[-1]])
    return actions


@pytest.mark.parametrize("module", [pick_up, fetch])
def test_an_episode_is_drawn_from_its_seeds(module: object) -> None:
    sample = task(module.TASK).sample  # type: ignore[attr-defined]
    one, same, other = sample(5, 1), sample(5, 1), sample(5, 2)
    assert one == same != other
    assert (one.task, one.max_steps) == (module.TASK, 600)  # type: ignore[attr-defined]
    assert one.target in PICKUPABLE
    assert EpisodeSpec.from_json(one.to_json()) == one
    with pytest.raises(SeedError, match="episode seed"):
        sample(5, -1)


def test_a_house_without_such_objects_has_no_episode(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (pick_up, fetch):
        monkeypatch.setattr(module, "PICKUPABLE", ())
        with pytest.raises(EpisodeGenerationError, match="house 5: no object that the arm can reach"):
            module.sample_episode(5)


def test_pick_up_starts_near_and_faces_the_object() -> None:
    for house in range(5):
        episode = pick_up.sample_episode(house)
        x, y, yaw = episode.start
        space = cached_space(house)
        assert space.clearance_at(x, y) >= 0.35
        near = [
            thing
            for thing in cached_house(house).objects_of(episode.target)
            for dx, dy in [(thing.position_m[0] - x, thing.position_m[1] - y)]
            if pick_up.NEAR_M <= math.hypot(dx, dy) <= pick_up.FAR_M
            and abs(math.remainder(math.atan2(dy, dx) - yaw, math.tau)) <= math.radians(21.1)
        ]
        assert near


def test_fetch_starts_with_a_way_to_go() -> None:
    for house in range(3):
        episode = fetch.sample_episode(house)
        assert cached_reach(house, episode.target)[1].cost_at(*episode.start[:2]) > 1.0


def test_what_it_is_told() -> None:
    rng = np.random.default_rng(0)
    instructions = {pick_up.pick_up_instruction("apple", rng) for _ in range(100)}
    assert instructions == {f"{verb} an apple" for verb in ("pick up", "take", "grab", "grasp", "clutch", "hold")}
    instructions = {fetch.fetch_instruction("spray bottle", rng) for _ in range(400)}
    assert len(instructions) == 30
    assert "search for a spray bottle and clutch that spray bottle" in instructions


def test_the_rule_asks_for_the_right_thing_in_the_hand(twin: StretchTwin) -> None:
    episode = replace(pick_up.sample_episode(7), target="apple")
    twin.reset(episode)
    for held, solved in ((None, False), ("mug_0", False), ("apple_0", True)):
        twin.held = held
        assert is_success(twin) == solved
        assert is_success(twin) == is_success(twin)
    twin.held = None


@pytest.mark.parametrize(("house", "most"), [(3, 45), (5, 60), (7, 60), (8, 60)])
def test_the_expert_picks_up(twin: StretchTwin, house: int, most: int) -> None:
    actions = played(twin, pick_up.sample_episode(house, house))
    assert is_success(twin)
    assert len(actions) < most
    assert (actions[-3:], actions.count("pickup")) == (["pickup", "move_arm_up", "done"], 1)
    assert twin.collisions == 0


def test_the_expert_fetches(twin: StretchTwin) -> None:
    assert played(twin, fetch.sample_episode(34, 34))[-1] == "done"
    assert is_success(twin)


def test_the_object_is_seen_by_the_manipulation_camera_when_it_is_taken_and_rises(twin: StretchTwin) -> None:
    episode = pick_up.sample_episode(7, 7)
    played(twin, episode)
    thing = twin.world.object(str(twin.held))
    before = next(one for one in cached_house(7).objects if one.name == thing.name)
    assert thing.position_m[2] - before.position_m[2] == pytest.approx(0.1, abs=0.02)
    for one in (before, thing):
        assert any(twin.world.sees(point, one.name, "manipulation") for point in sample_points(one))


def test_the_expert_lets_the_wrong_object_go(twin: StretchTwin) -> None:
    episode = replace(pick_up.sample_episode(7), target="mug")
    twin.reset(episode)
    x, y, z = (float(value) for value in Hand(twin.world).centre_m)
    twin.world.put("apple_0", (x, y, z), 0.0)
    assert twin.execute(Grasp()).executed
    assert PickUpExpert(twin).action() == "dropoff"
    twin.execute(ACTIONS["dropoff"])
    assert twin.held is None


def reach_of(house: House, category: str) -> Reach:
    return Reach(house, house.objects_of(category)[0])


def test_a_narrow_object_is_taken_by_its_middle_and_a_wide_one_by_its_side() -> None:
    house = cached_house(7)
    apple, ball = reach_of(house, "apple"), reach_of(house, "basketball")
    for reach in (apple, ball):
        thing = reach.thing
        c, s = math.cos(thing.yaw_rad), math.sin(thing.yaw_rad)
        distance = reach.distance_m(
            np.array([thing.position_m[0] + 0.7 * c]), np.array([thing.position_m[1] + 0.7 * s])
        )[0]
        side = 0.0 if reach is apple else thing.size_m[0] / 2 + BEFORE_M
        assert distance == pytest.approx(0.7 - side)
    assert apple.height_m == pytest.approx(apple.thing.position_m[2])


def test_a_vase_is_taken_by_its_neck_as_far_as_the_lift_goes() -> None:
    house = next(cached_house(seed) for seed in range(20) if cached_house(seed).objects_of("vase"))
    vase = house.objects_of("vase")[0]
    x, y, _ = vase.position_m
    height = vase.size_m[2]
    low = Reach(house, replace(vase, position_m=(x, y, 0.5 + height / 2)))
    assert low.height_m == pytest.approx(0.5 + NECK["vase"] * height)
    high = Reach(house, replace(vase, position_m=(x, y, 0.95 + height / 2)))
    assert high.lift_m == pytest.approx(1.095)


def test_places_have_the_object_within_the_arms_length() -> None:
    house, space = cached_house(7), cached_space(7)
    goals, field = cached_reach(7, "apple")
    cells = np.argwhere(np.isfinite(goals.cost_m))
    assert len(cells)
    assert field.is_goal[tuple(cells[0])]
    for i, j in cells:
        reach = Reach(house, house.objects_of("apple")[goals.instance[i, j]])
        distance = reach.distance_m(np.array([space.x_m[i]]), np.array([space.y_m[j]]))[0]
        assert HAND_RIGHT_M < distance < HAND_RIGHT_M + ARM_M


def test_a_post_in_the_arms_way_makes_a_place_unfit() -> None:
    house, space = cached_house(7), cached_space(7)
    goals, _ = cached_reach(7, "apple")
    i, j = np.argwhere(np.isfinite(goals.cost_m))[0]
    x, y = space.x_m[[i]], space.y_m[[j]]
    thing = house.objects_of("apple")[goals.instance[i, j]]
    assert Reach(house, thing).can_from(x, y)[0]
    middle = ((x[0] + thing.position_m[0]) / 2, (y[0] + thing.position_m[1]) / 2)
    post = Obstacle("post", middle, (0.02, 0.02), 0.0, 0.0, 2.0)
    hindered = replace(house)
    object.__setattr__(hindered, "obstacles", (*house.obstacles, post))
    assert not Reach(hindered, thing).can_from(x, y)[0]

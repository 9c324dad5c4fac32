"""Initial states of LIBERO's tasks: the official ones, and wider ones drawn around them.

The 50 official states of a task differ by 1 to 2.5 cm only, so that one demonstration played back nearly solves some
tasks. Wider ones move each object by itself; those in which something then falls, tips or is pushed are drawn again.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from simulation.errors import EpisodeError
from simulation.libero.predicates import touches
from simulation.libero.world import Floats, LiberoWorld

APART_M = 0.125
"""Objects that stand beside each other are not moved nearer than this: the fingers must find room."""

SLIPPED_M, TILTED = 0.01, 0.02
"""An object that comes to rest further from its place than this, or tilted further (1 - cosine), was in the way."""

ROCKS_M = 0.04
"""What stands on another object may rock so far, and tilt as it likes (a bowl on a ramekin does)."""

REST_ACTIONS = 30
"""Until everything rests: longer than a policy waits."""

ATTEMPTS, BASES = 100, 5
"""Draws around one base state, and base states tried (in a few something rolls), before it is an error."""


def split(states: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Base states for training and for evaluation, half each, which share none."""
    half = len(states) // 2
    return states[:half], states[half:]


def draw(
    world: LiberoWorld,
    base_states: npt.NDArray[np.float64],
    count: int,
    seed: int,
    spread_m: float,
    fixtures_m: float = 0.0,
) -> list[Floats]:
    """Initial states around `base_states`, for `LiberoWorld.reset`; the same for the same arguments.

    Args:
        world: of the task; what it held is lost.
        base_states: (n, 1 + nq + nv) official ones.
        count: of states.
        seed: of the draws.
        spread_m: each object is moved by up to this along x and along y; what stands on it moves with it.
        fixtures_m: so is each fixture (cabinet, stove, rack), with what stands on it.

    Raises:
        EpisodeError: no such state was found in `BASES * ATTEMPTS` draws: less spread is needed.
    """
    rng = np.random.default_rng(seed)
    return [_drawn(world, base_states, rng, (spread_m, fixtures_m)) for _ in range(count)]


def _drawn(
    world: LiberoWorld, base_states: npt.NDArray[np.float64], rng: np.random.Generator, spreads_m: tuple[float, float]
) -> Floats:
    """One state around one of the base states."""
    for _ in range(BASES):
        state = _around(world, base_states[int(rng.integers(len(base_states)))], rng, spreads_m)
        if state is not None:
            return state
    raise EpisodeError(f"no state within {spreads_m[0]} m in {BASES * ATTEMPTS} draws", "less spread")


def _around(
    world: LiberoWorld, base: Floats, rng: np.random.Generator, spreads_m: tuple[float, float]
) -> Floats | None:
    """One state around `base`; None when none was found."""
    world.reset(base)
    start = world.state
    world.wait(REST_ACTIONS)  # LIBERO's states let everything drop a few centimetres
    supports, before = _supports(world), _poses(world)
    for _ in range(ATTEMPTS):
        moves = {
            name: rng.uniform(-1.0, 1.0, 2) * spreads_m[thing.free < 0] for name, thing in world.scene.objects.items()
        }
        moved = {name: _moved(name, moves, supports, world) for name in moves}
        if _too_close(before, moved, supports, world):
            continue
        state = _shifted(world, start, moved)
        if _rests(world, state, before, moved, supports):
            return state
    return None


def _moved(name: str, moves: dict[str, Floats], supports: dict[str, str], world: LiberoWorld) -> Floats:
    """How far an object is moved: with the object that it stands on; on a fixture by itself as well."""
    below = supports.get(name)
    if below is None:
        return moves[name]
    if world.scene.objects[below].free < 0:
        return moves[name] + moves[below]
    return _moved(below, moves, supports, world)


def _supports(world: LiberoWorld) -> dict[str, str]:
    """What each object stands on, where that is another object or a fixture."""
    things, at = world.scene.objects, world.data.xpos
    found: dict[str, str] = {}
    for name, thing in things.items():
        for below, support in things.items():
            lower = support.free < 0 or at[support.body][2] < at[thing.body][2]
            if name != below and thing.free >= 0 and lower and touches(world.data, support, thing):
                found.setdefault(name, below)
    return found


def _poses(world: LiberoWorld) -> dict[str, tuple[Floats, Floats]]:
    """Position (3,) and rotation matrix (9,) of each object and fixture."""
    data = world.data
    return {
        name: (data.xpos[thing.body].copy(), data.xmat[thing.body].copy())
        for name, thing in world.scene.objects.items()
    }


def _too_close(
    before: dict[str, tuple[Floats, Floats]], moved: dict[str, Floats], supports: dict[str, str], world: LiberoWorld
) -> bool:
    free = [name for name, thing in world.scene.objects.items() if thing.free >= 0]
    for number, name in enumerate(free):
        for other in free[:number]:
            if supports.get(name) == other or supports.get(other) == name:
                continue
            apart = before[name][0][:2] - before[other][0][:2]
            now = float(np.linalg.norm(apart + moved[name] - moved[other]))
            if now < min(APART_M, float(np.linalg.norm(apart))):
                return True
    return False


def _shifted(world: LiberoWorld, start: Floats, moved: dict[str, Floats]) -> Floats:
    """`start` with objects and fixtures moved."""
    state = start.copy()
    first = 1 + world.model.nq + world.model.nv
    for name, by in moved.items():
        free = world.scene.objects[name].free
        at = 1 + free if free >= 0 else first + 3 * world.fixtures.index(name)
        state[at : at + 2] += by
    return state


def _rests(
    world: LiberoWorld,
    state: Floats,
    before: dict[str, tuple[Floats, Floats]],
    moved: dict[str, Floats],
    supports: dict[str, str],
) -> bool:
    """Whether everything stays where it was put, as it was put."""
    world.reset(state)
    world.wait(REST_ACTIONS)
    for name, (at, turn) in _poses(world).items():
        wanted, axes = before[name]
        away = at - wanted - np.append(moved[name], 0.0)
        rocks = name in supports and supports[name] not in world.fixtures
        if np.abs(away).max() > (ROCKS_M if rocks else SLIPPED_M):
            return False
        if not rocks and 1.0 - float(axes[6:] @ turn[6:]) > TILTED:
            return False
    return True

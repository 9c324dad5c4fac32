"""Two-camera observations per second of the Stretch in a house, compared with MuJoCo's own renderer and settings.

    python -m benchmarks.simulation.render [--house 5] [--workers 2]

Each round measures every setting in turn, so that a change of load affects all of them. An observation is a pose, its
kinematics and both images as RGB arrays. "Per CPU second" divides by the CPU time of the process, the rate of
an idle core of a shared machine.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import tyro

from benchmarks.machine import cpu
from simulation.houses.house import generate_house
from simulation.rendering.renderer import Renderer
from simulation.robot_models.stretch import StretchBody, set_pose
from simulation.twins.world import World

import mujoco  # isort: skip

Draw = Callable[[mujoco.MjData], object]
Rates = tuple[float, float]
SIZES = ((84, 144), (112, 192), (224, 384))
"""Height and width of an image: the mini policy's, half, and SPOC's."""


@dataclass(frozen=True)
class Arguments:
    """Options of the benchmark."""

    house: int = 5
    """Seed of the house."""
    rounds: int = 7
    """Measurements of each setting; the median is reported."""
    observations: int = 40
    """Observations in a round."""
    workers: int = 0
    """Also measure this many processes at once."""
    seconds: float = 5.0
    """Duration of the measurement with several processes [s]."""


@dataclass
class Scene:
    """A house with the robot, and poses for it."""

    world: World
    poses: list[tuple[float, float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(0)
        middles = [np.mean(room.polygon, axis=0) for room in self.world.house.rooms]
        self.poses = [(x, y, yaw) for x, y in middles for yaw in rng.uniform(-np.pi, np.pi, 8)]

    def observe(self, draw: Draw, count: int) -> Rates:
        """Renders observations; returns their number per second and per CPU second."""
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        for i in range(count):
            x_m, y_m, yaw_rad = self.poses[i % len(self.poses)]
            set_pose(self.world.model, self.world.data, x_m=x_m, y_m=y_m, yaw_rad=yaw_rad, lift_m=0.5, arm_m=0.2)
            draw(self.world.data)
        return count / (time.perf_counter() - wall_s), count / (time.process_time() - cpu_s)


def use_mujoco_settings(model: mujoco.MjModel) -> None:
    """Gives a model MuJoCo's defaults: shadow map 4096, four samples, fine round shapes, lights that cast shadows."""
    default = mujoco.MjSpec().compile().vis.quality
    for name in ("shadowsize", "offsamples", "numslices", "numstacks", "numquads"):
        setattr(model.vis.quality, name, getattr(default, name))
    model.light_castshadow[:] = 1


def mujoco_drawing(renderer: mujoco.Renderer) -> Draw:
    """Both cameras through MuJoCo's own renderer."""

    def draw(data: mujoco.MjData) -> None:
        for camera in StretchBody.CAMERAS:
            renderer.update_scene(data, camera)
            renderer.render()

    return draw


def compare(arguments: Arguments, height: int, width: int) -> tuple[Rates, Rates]:
    """Median rates of Ferry's renderer and of MuJoCo's at one size."""
    ours, theirs = (Scene(World(generate_house(arguments.house))) for _ in range(2))
    use_mujoco_settings(theirs.world.model)
    rates: tuple[list[Rates], list[Rates]] = ([], [])
    with Renderer(ours.world.model, height, width) as fast, mujoco.Renderer(theirs.world.model, height, width) as plain:
        drawings = (ours, lambda data: fast.render(data, StretchBody.CAMERAS)), (theirs, mujoco_drawing(plain))
        for scene, draw in drawings:
            scene.observe(draw, 2)
        for _ in range(arguments.rounds):
            for kept, (scene, draw), fraction in zip(rates, drawings, (1.0, 0.1), strict=True):
                kept.append(scene.observe(draw, max(2, int(arguments.observations * fraction))))
    medians = [(statistics.median(w for w, _ in kept), statistics.median(c for _, c in kept)) for kept in rates]
    return medians[0], medians[1]


def work(house: int, height: int, width: int, seconds: float, start: float) -> float:
    """Measures observations per second in one of several processes, from a common start time."""
    scene = Scene(World(generate_house(house)))
    with Renderer(scene.world.model, height, width) as renderer:
        scene.observe(lambda data: renderer.render(data, StretchBody.CAMERAS), 5)
        time.sleep(max(0.0, start - time.time()))
        done, begun = 0, time.perf_counter()
        while time.perf_counter() - begun < seconds:
            scene.observe(lambda data: renderer.render(data, StretchBody.CAMERAS), 5)
            done += 5
        return done / (time.perf_counter() - begun)


def together(arguments: Arguments, height: int, width: int) -> list[float]:
    """Measures the rates of several processes that render at the same time."""
    start = time.time() + 8.0  # all have imported and compiled by then
    with multiprocessing.get_context("spawn").Pool(arguments.workers) as pool:
        job = (arguments.house, height, width, arguments.seconds, start)
        return pool.starmap(work, [job] * arguments.workers)


def machine() -> str:
    """Describes the processor, cores and load."""
    load = os.getloadavg()[0]
    return f"{cpu()}, {os.cpu_count()} cores, load {load:.1f}; MuJoCo {mujoco.__version__}, {os.environ['MUJOCO_GL']}"


def main(arguments: Arguments) -> None:
    """Prints the tables."""
    world = World(generate_house(arguments.house))
    print(machine())
    print(f"house {arguments.house}: {len(world.house.rooms)} rooms, {world.model.ngeom} geoms, two cameras\n")
    print("| size | obs/s | per CPU second | MuJoCo's settings: obs/s | per CPU second | ratio | ratio, CPU |")
    print("|---|---|---|---|---|---|---|")
    for height, width in SIZES:
        (ours, ours_cpu), (theirs, theirs_cpu) = compare(arguments, height, width)
        print(f"| {height}x{width} | {ours:.0f} | {ours_cpu:.0f} | {theirs:.1f} | {theirs_cpu:.1f} "
              f"| {ours / theirs:.0f}x | {ours_cpu / theirs_cpu:.0f}x |", flush=True)  # fmt: skip
    if arguments.workers:
        print(f"\n| size | {arguments.workers} processes at once, obs/s | together |")
        print("|---|---|---|")
        for height, width in SIZES:
            rates = together(arguments, height, width)
            print(f"| {height}x{width} | {' + '.join(f'{r:.0f}' for r in rates)} | {sum(rates):.0f} |", flush=True)


if __name__ == "__main__":
    main(tyro.cli(Arguments))

"""What the ghost's gate lets through: start poses of the Stretch twin that are off by centimetres and degrees.

    python -m benchmarks.trials.ghost_gate --starts 20

Prints, for each offset, the shift (median, least, most) and how many of the starts a limit lets through.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

import numpy as np

from evaluation.operator.ghost import Distance, distance
from evaluation.operator.twin_rig import HEIGHT, WIDTH
from evaluation.plans.operation import Operation
from evaluation.statistics.proportions import proportion
from robots.spec import U8Image
from simulation.houses.seeds import house_seed
from simulation.task_registry import task
from simulation.twins.house_twin import StretchTwin, TwinOptions

Pose = tuple[float, float, float]
CENTIMETRES, DEGREES = (0, 1, 2, 5, 10), (2, 5, 10)


def shifted(pose: Pose, along_m: float, across_m: float, turn_rad: float) -> Pose:
    """Returns a pose that is off along and across the robot's direction, and turned."""
    x, y, yaw = pose
    c, s = math.cos(yaw), math.sin(yaw)
    return (x + c * along_m - s * across_m, y + s * along_m + c * across_m, yaw + turn_rad)


def offsets() -> dict[str, Callable[[Pose, int], Pose]]:
    """Returns name -> the pose that is off; positions in a direction that differs from start to start."""

    def move(distance_m: float) -> Callable[[Pose, int], Pose]:
        def moved(pose: Pose, number: int) -> Pose:
            angle = 2.4 * number
            return shifted(pose, distance_m * math.cos(angle), distance_m * math.sin(angle), 0.0)

        return moved

    def turn(angle_deg: float) -> Callable[[Pose, int], Pose]:
        return lambda pose, number: shifted(pose, 0.0, 0.0, math.radians(angle_deg) * (-1) ** number)

    return {**{f"{cm} cm": move(cm / 100) for cm in CENTIMETRES}, **{f"{deg} deg": turn(deg) for deg in DEGREES}}


def measure(starts: int) -> dict[str, list[Distance]]:
    """Returns offset -> the distance at each start, each in a house of its own of the test split."""
    twin = StretchTwin(TwinOptions(height=HEIGHT, width=WIDTH))
    found: dict[str, list[Distance]] = {name: [] for name in offsets()}
    with twin:
        for number in range(starts):
            episode = task("object_nav").sample(house_seed("test", number), eye=twin.eye)
            twin.reset(episode)

            def look(pose: Pose) -> U8Image:
                twin.world.base = pose
                twin.world.settle()
                return twin.observe().images["navigation"]

            reference = look(episode.start)
            for name, off in offsets().items():
                found[name].append(distance(reference, look(off(episode.start, number))))
    return found


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=20)
    parser.add_argument("--limits", type=float, nargs="+", default=[4.0, 8.0, 16.0])
    options = parser.parse_args()
    limits = " ".join(f"passes {limit:g} px [95 %]".rjust(26) for limit in options.limits)
    print(f"{'off by':>8} {'shift px: median, least, most':>32} {'changed':>8} {limits}")
    for name, found in measure(options.starts).items():
        shifts = np.array([one.shift_px for one in found])
        passed = []
        for limit in options.limits:
            count = sum(one.within(Operation(start_shift_px=limit)) for one in found)
            rate = proportion(count, len(found))
            passed.append(f"{count}/{len(found)} [{rate.low:.2f}, {rate.high:.2f}]".rjust(26))
        changed = float(np.median([one.changed for one in found]))
        spread = f"{np.median(shifts):.1f}, {shifts.min():.1f}, {shifts.max():.1f}"
        print(f"{name:>8} {spread:>32} {changed:8.2f} {' '.join(passed)}")


if __name__ == "__main__":
    main()

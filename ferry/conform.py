"""`ferry conform ROBOT`: runs the conformance suite on a robot, with small motions."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from ferry.errors import UsageError, nearest
from ferry.help import Parser
from ferry.options import build, parse
from robots.conformance import CHECKS, Make, Options, name_of, rule_of, run
from robots.embodiment import Embodiment
from robots.processes.signals import terminable
from robots.robot import Robot

SLOWER = 0.5
"""Fraction of its speed that the slowed-down robot is created with."""
HOUSE_SEED = 3
"""House in which a twin is tested: there is space to drive and turn at its start."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `ferry conform`; returns 1 when a check fails or the robot hangs.

    Raises:
        UsageError: there is no such robot, option or check, or nobody confirmed that it may move.
    """
    words = _parser().parse_args(argv)
    if words.list or not words.robot:
        print("\n".join(f"{name_of(check)}\n    {rule_of(check)}" for check in CHECKS))
        if not words.list:
            print("\nno robot was named: `ferry conform fake` runs these checks on one")
        return 0
    make, slow = makers(words.robot, parse(words.set))
    options = options_of(words)
    print(motions(make().spec, options))
    _agree(words.yes)
    with terminable():
        report = run(make, options, slow=slow, say=lambda line: print(line, flush=True))
    print(f"\n{report}")
    if words.json:
        words.json.write_text(json.dumps(report.to_json(), indent=1) + "\n", encoding="utf-8")
    return 0 if report.ok else 1


def makers(name: str, values: Mapping[str, str]) -> tuple[Make, Make | None]:
    """Returns factories for the robot `name` with option `values`, and for a slower one (None if it has no speed)."""
    from ferry_ros.robot_registry import ROBOTS, body

    if name not in ROBOTS:
        raise UsageError(f"robot: got {name!r}; available: {', '.join(sorted(ROBOTS))}{nearest(name, ROBOTS)}")
    found = body(name)
    known = {field.name for field in fields(found.options)}
    given = {"real_time": "true", **values} if "real_time" in known else dict(values)
    options = build(found.options, given)
    slow = replace(options, speed=SLOWER * options.speed) if "speed" in known else None
    return maker(found.create, options), None if slow is None else maker(found.create, slow)


def options_of(words: argparse.Namespace) -> Options:
    """Returns the suite's options from the command line; UsageError names an unknown one."""
    kinds = {one.name: int if one.type == "int" else float for one in fields(Options) if one.type in ("int", "float")}
    given = parse(words.tune)
    for name in given:
        if name not in kinds:
            raise UsageError(f"--tune: got {name!r}; available: {', '.join(kinds)}{nearest(name, kinds)}")
    names = [name_of(check) for check in CHECKS]
    for name in (*words.check, *words.skip):
        if name not in names:
            raise UsageError(f"check: got {name!r}; `ferry conform --list` prints all names{nearest(name, names)}")
    try:
        changes: dict[str, Any] = {name: kinds[name](value) for name, value in given.items()}
    except ValueError as error:
        raise UsageError(f"--tune: {error}") from error
    changes |= {"checks": tuple(words.check), "skip": tuple(words.skip), "spared": tuple(words.spare)}
    return replace(Options(exclusive=words.exclusive), **changes)


def motions(spec: Embodiment, options: Options) -> str:
    """Describes the motions in words, for the person beside the robot."""
    lines = [f"{spec.name} will be connected and disconnected several times, and moves:"]
    if spec.base is not None:
        largest = f"{spec.base.max_step_m:g} m or {spec.base.max_step_rad:g} rad"
        lines.append(
            f"  base: at most one step of {largest} at a time, and back; up to {spec.base.max_speed_mps:g} m/s"
        )
    joints = [
        f"{name} (up to {joint.max_speed:g} per s)" for name, joint in spec.joints.items() if name not in options.spared
    ]
    if joints:
        lines.append(f"  joints: at most {options.long_step:g} m or rad, and back: {', '.join(joints)}")
    if joints:
        lines.append("  a joint that moves towards a more distant limit is stopped on the way; the gripper opens fully")
    lines.append(f"  each action of its embodiment once: {', '.join(spec.actions)}")
    lines.append("Keep 0.5 m clear around all of these motions, and a hand on the robot's own e-stop.")
    return "\n".join(lines)


def maker(create: Callable[[Any], Robot], options: Any) -> Make:
    """Returns a factory of a robot; that of a mobile robot's twin stands in a house."""

    def make() -> Robot:
        robot = create(options)
        if hasattr(type(robot), "episode"):  # a mobile robot's twin needs a house
            from ferry_ros.twin_episodes import begin

            begin(robot, "", HOUSE_SEED)
        return robot

    return make


def _agree(yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("no terminal to ask for confirmation of motion; pass --yes if the robot may move")
    if input("Type yes to go on: ").strip() != "yes":
        raise UsageError("not confirmed; nothing moved")


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="ferry conform",
        description="Runs the conformance suite on a robot, with small motions.",
    )
    parser.add_argument("robot", nargs="?", help="name in ferry_ros/robot_registry.py, e.g. fake, piper")
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="NAME=VALUE", help="options of the driver, e.g. speed=0.2"
    )
    parser.add_argument(
        "--tune", nargs="+", default=[], metavar="NAME=VALUE", help="parameters of the suite, e.g. lag_s=0.1"
    )
    parser.add_argument("--check", nargs="+", default=[], metavar="NAME", help="run only these checks")
    parser.add_argument("--skip", nargs="+", default=[], metavar="NAME", help="skip these checks")
    parser.add_argument("--spare", nargs="+", default=[], metavar="JOINT", help="never move these joints")
    parser.add_argument("--exclusive", action="store_true", help="real hardware: a second driver must be refused")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the report to this file")
    parser.add_argument("--list", action="store_true", help="print all checks and their rules, and exit")
    parser.add_argument("--yes", action="store_true", help="do not ask for confirmation; the robot may move")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())

"""`ferry conform BODY`: tries with small motions whether a robot keeps the rules of every robot."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from ferry.errors import UsageError, nearest
from ferry.options import build, parse
from robots.conformance import CHECKS, Make, Options, name_of, rule_of, run
from robots.embodiment import Embodiment
from robots.processes.signals import terminable
from robots.robot import Robot

SLOWER = 0.5
"""Share of the speed that the slowed body is made with."""
HOUSE_SEED = 3
"""The house a twin is tried in: one with room to drive and turn where the robot starts."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `ferry conform`; returns 1 when the body breaks a rule or hangs.

    Raises:
        UsageError: there is no such body, option or check, or nobody agreed that it moves.
    """
    words = _parser().parse_args(argv)
    if words.list or not words.body:
        print("\n".join(f"{name_of(check)}\n    {rule_of(check)}" for check in CHECKS))
        return 0
    make, slow = makers(words.body, parse(words.set))
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
    """What makes the body called `name` with option `values`, and what makes it slower (None where it has no speed)."""
    from ferry_ros.robot_registry import ROBOTS, body

    if name not in ROBOTS:
        raise UsageError(f"body: got {name!r}; available: {', '.join(sorted(ROBOTS))}{nearest(name, ROBOTS)}")
    found = body(name)
    known = {one.name for one in fields(found.options)}
    given = {"real_time": "true", **values} if "real_time" in known else dict(values)
    options = build(found.options, given)
    slow = replace(options, speed=SLOWER * options.speed) if "speed" in known else None
    return _maker(found.create, options), None if slow is None else _maker(found.create, slow)


def options_of(words: argparse.Namespace) -> Options:
    """The suite's options from the command line; UsageError names one that is none."""
    kinds = {one.name: int if one.type == "int" else float for one in fields(Options) if one.type in ("int", "float")}
    given = parse(words.tune)
    for name in given:
        if name not in kinds:
            raise UsageError(f"--tune: got {name!r}; available: {', '.join(kinds)}{nearest(name, kinds)}")
    names = [name_of(check) for check in CHECKS]
    for name in (*words.check, *words.skip):
        if name not in names:
            raise UsageError(f"check: got {name!r}; `ferry conform --list` shows them all{nearest(name, names)}")
    try:
        changes: dict[str, Any] = {name: kinds[name](value) for name, value in given.items()}
    except ValueError as error:
        raise UsageError(f"--tune: {error}") from error
    changes |= {"checks": tuple(words.check), "skip": tuple(words.skip), "spared": tuple(words.spare)}
    return replace(Options(exclusive=words.exclusive), **changes)


def motions(spec: Embodiment, options: Options) -> str:
    """What will move, in words, for a person who stands beside the robot."""
    lines = [f"{spec.name} will be connected and disconnected several times, and moves:"]
    if spec.base is not None:
        most = f"{spec.base.max_step_m:g} m or {spec.base.max_step_rad:g} rad"
        lines.append(f"  base: at most one step of {most} at a time, and back; up to {spec.base.max_speed_mps:g} m/s")
    joints = [
        f"{name} (up to {one.max_speed:g} per s)" for name, one in spec.joints.items() if name not in options.spared
    ]
    if joints:
        lines.append(f"  joints: at most {options.long_step:g} m or rad, and back: {', '.join(joints)}")
    if joints:
        lines.append("  a joint that starts towards a limit that is further away is stopped; the gripper opens wholly")
    lines.append(f"  every action of its table once: {', '.join(spec.actions)}")
    lines.append("Keep 0.5 m free around all of that, and a hand on the robot's own stop.")
    return "\n".join(lines)


def _maker(create: Callable[[Any], Robot], options: Any) -> Make:
    def make() -> Robot:
        robot = create(options)
        if hasattr(type(robot), "episode"):  # a twin of a mobile robot stands in a house
            from ferry_ros.twin_episodes import begin

            begin(robot, "", HOUSE_SEED)
        return robot

    return make


def _agree(yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("nobody is here to agree that it moves: got no --yes")
    if input("Type yes to go on: ").strip() != "yes":
        raise UsageError("not agreed; nothing moved")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ferry conform", description="Tries whether a robot keeps the rules of every robot, with small motions."
    )
    parser.add_argument("body", nargs="?", help="its name in ferry_ros/robot_registry.py, e.g. fake, piper")
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="NAME=VALUE", help="options of the body, e.g. speed=0.2"
    )
    parser.add_argument(
        "--tune", nargs="+", default=[], metavar="NAME=VALUE", help="numbers of the suite, e.g. lag_s=0.1"
    )
    parser.add_argument("--check", nargs="+", default=[], metavar="NAME", help="only these checks")
    parser.add_argument("--skip", nargs="+", default=[], metavar="NAME", help="not these checks")
    parser.add_argument("--spare", nargs="+", default=[], metavar="JOINT", help="never move these joints")
    parser.add_argument("--exclusive", action="store_true", help="real hardware: a second driver must be refused")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report there too")
    parser.add_argument("--list", action="store_true", help="print all checks and what each demands, and end")
    parser.add_argument("--yes", action="store_true", help="the robot may move; do not ask")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())

"""The pages on launching and on the doctor, compared with the programs they describe."""

from __future__ import annotations

import re
import shlex

import pytest

from ferry.doctor.choice import ROBOTS
from ferry.doctor.main import CHECKS, parser
from ferry.fakes import FAKES
from ferry.launcher.arguments import declared, parse_assignments
from ferry.launcher.lookup import REPOSITORY, Lookup
from ferry.launcher.plan import plan

LAUNCH_PAGE = (REPOSITORY / "docs" / "launch.md").read_text(encoding="utf-8")
DOCTOR_PAGE = (REPOSITORY / "docs" / "doctor.md").read_text(encoding="utf-8")
RUNS = re.findall(r"^    (ferry run .*?)(?:   .*)?$", LAUNCH_PAGE, re.MULTILINE)
LOOKS = re.findall(r"^    (ferry doctor.*?)(?:   .*)?$", DOCTOR_PAGE, re.MULTILINE)


@pytest.mark.parametrize("line", RUNS)
def test_every_launch_that_is_shown_can_be_planned(line: str) -> None:
    name, *words = [word for word in shlex.split(line)[2:] if not word.startswith("--")]
    file = REPOSITORY / "launch" / f"{name}.launch.xml"
    assert plan(file, parse_assignments(words, file, declared(file, Lookup(()))), Lookup(()))


def test_the_page_shows_some_and_names_every_robot_and_fake() -> None:
    assert len(RUNS) >= 6
    for robot, drivers in ROBOTS.items():
        assert f"`{robot}`" in LAUNCH_PAGE
        assert len(drivers) == 1 or f"{robot}: {', '.join(f'`{driver}`' for driver in drivers)}" in LAUNCH_PAGE
    for name in FAKES:
        assert f"`ferry fake {name}`" in LAUNCH_PAGE


def test_every_argument_that_the_page_names_exists() -> None:
    known = {name for robot in ROBOTS for name in declared(REPOSITORY / "launch" / f"{robot}.launch.xml", Lookup(()))}
    rows = LAUNCH_PAGE.partition("## Arguments of every robot")[2].partition("A real robot starts")[0].splitlines()
    named = {name for row in rows if row.startswith("| `") for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert {"robot", "mode", "driver", "record"} <= named
    assert named <= known
    own = next(row for row in LAUNCH_PAGE.splitlines() if row.startswith("| its own arguments"))
    for robot, cell in zip(ROBOTS, own.split("|")[2:]):
        arguments = declared(REPOSITORY / "launch" / f"{robot}.launch.xml", Lookup(()))
        names = [name for name in re.findall(r"`(\w+)`", cell) if name not in ("ur5e", "fr3", "xarm6")]
        assert names
        assert set(names) <= set(arguments)


@pytest.mark.parametrize("line", LOOKS)
def test_every_look_that_is_shown_can_be_read(line: str) -> None:
    assert parser().parse_args(shlex.split(line)[2:])


def test_the_page_explains_every_check_and_each_that_was_printed() -> None:
    table = DOCTOR_PAGE.partition("## The checks")[2]
    explained = {
        name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1] if "|" in row else row)
    }
    assert set(CHECKS) <= explained
    printed = set(re.findall(r"^    (?:ok  |warn|FAIL)  (\w+)", DOCTOR_PAGE, re.MULTILINE))
    assert len(printed) > 15
    assert printed <= explained

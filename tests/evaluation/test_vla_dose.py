"""The experiment of demonstrations against reinforcement: what it runs, that it goes on, and its table."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.training.vla_dose import Dose, Stage, expect_same, run, stages, table


@pytest.fixture
def args(tmp_path: Path) -> Dose:
    made = Dose(tmp_path / "dose", doses=(1, 5), seeds=(0, 1), states=8)
    expect_same(made)
    return made


def finish(args: Dose, dose: int, seed: int, sft: int, grpo: int) -> None:
    """Writes the results of a cell: so many of 8 states solved, the first ones."""
    cell = args.cell(dose, seed)
    cell.mkdir(parents=True, exist_ok=True)
    for name, solved in (("sft", sft), ("grpo", grpo)):
        suites = [{"outcomes": [state < solved for state in range(8)]}]
        (cell / f"{name}_wide.json").write_text(json.dumps({"suites": suites}))
        (cell / f"{name}_wide.done").write_text("finished\n")


def test_every_cell_is_made_of_the_first_demonstrations_of_its_seed(args: Dose) -> None:
    every = list(stages(args))
    assert [stage.name for stage in every[:2]] == ["collect_5", "collect_5"]
    names = ["sft", "grpo", "sft_wide", "sft_official", "grpo_wide", "grpo_official"]
    assert [stage.name for stage in every[2:]] == names * 4
    one = [" ".join(stage.command) for stage in every if stage.folder == args.cell(1, 1)]
    assert "--seed 1" in one[0]
    assert "demonstrations_seed1 --each 1 " in one[0]
    assert "--tasks.spread-m 0.0 " in one[3]
    assert "--seed 1" in " ".join(every[1].command)


def test_the_table_has_each_finished_seed_and_all_of_them_together(args: Dose) -> None:
    assert len(table(args).splitlines()) == 4  # nothing is finished
    finish(args, 1, 0, sft=2, grpo=6)
    finish(args, 1, 1, sft=3, grpo=3)
    (args.cell(1, 1) / "grpo.done").write_text("groups taught nothing after 3 s\n")
    rows = table(args).splitlines()[4:]
    assert [row.split(" | ")[1] for row in rows] == ["0", "1 (groups taught nothing)", "all"]
    assert "| 25.0 % [" in rows[0]
    assert "| 75.0 % [" in rows[0]
    assert "+50.0 [" in rows[0]
    assert "| 0 / 4 |" in rows[0]
    assert "+25.0 [" in rows[2]
    assert "| 0 / 4 |" in rows[2]


def test_a_stage_runs_once_and_one_that_failed_runs_again(args: Dose) -> None:
    count = "import pathlib, sys; f = pathlib.Path(sys.argv[1]); f.open('a').write(' '.join(sys.argv[2:]) + '|')"
    file = args.out / "ran"
    stage = Stage("grpo", args.out, ("-c", count, str(file), "x"), ("--resume",), args.out / "last.pt")
    for _ in range(2):
        run(args, stage)
    assert file.read_text() == "x|"
    broken = replace(stage, name="sft", command=("-c", f"{count}; sys.exit(2)", str(file), "y"))
    for _ in range(2):
        with pytest.raises(SystemExit, match=r"sft\.log: ended with status 2"):
            run(args, broken)
        (args.out / "last.pt").touch()
    assert file.read_text() == "x|y|y --resume|"
    quits = ("-c", "import sys; sys.exit('step 10: nothing; last.pt holds the policy')")
    dead = replace(stage, folder=args.out / "cell", command=quits)
    run(args, dead)
    assert "groups taught nothing" in dead.mark.read_text()
    log = (args.out / "log.txt").read_text()
    assert log.count("begin ") == 4
    assert "failed dose/sft with status 2" in log


def test_a_folder_is_of_one_experiment(args: Dose) -> None:
    expect_same(replace(args, seeds=(0, 1, 2), core=1))  # more of the same
    with pytest.raises(SystemExit, match="got states 8, expected 9"):
        expect_same(replace(args, states=9))

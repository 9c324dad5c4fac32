"""Tables of trials: what was decided, what is compared with what, and fieldtrial's CSV in both directions."""

from __future__ import annotations

import csv
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from evaluation.errors import EvaluationError, RecordError
from evaluation.plans.trial import Outcome
from evaluation.plans.trial_plan import read_trial_plan
from evaluation.records.trial_events import TrialVerdict
from evaluation.records.trial_folder import TrialFolder
from evaluation.records.trial_store import TrialStore
from evaluation.reporting.grid import Grid, write_grids
from evaluation.statistics.pairs import mcnemar
from evaluation.statistics.proportions import boschloo
from evaluation.statistics.rules import Verdict
from evaluation.trials.analysis import ALL, analyse
from evaluation.trials.fieldtrial_csv import read_table, write_table
from evaluation.trials.main import main
from evaluation.trials.trial_table import TrialRow, TrialTable, of_trials

pytestmark = pytest.mark.skipif(find_spec("scipy") is None, reason="needs scipy (extra 'report')")
PLAN = """\
name: flat
arms: [{name: good, server: "http://a"}, {name: poor, server: "http://b"}]
tasks: [{name: fetch, instruction: fetch it, stages: [sees it, reaches it, holds it]}]
starts: [{name: door, instruction: ""}, {name: sofa, instruction: ""}]
design: {smallest_difference: 0.5, rule: anytime, blocks: 30}
"""
FIELDTRIAL = """\
trial_id,seq,block,replicate,condition,arm,status,attempt,stage_index,success,termination,duration_s,failure_tags,notes
t1,1,1,1,pose=left,a,completed,1,2,True,success,12.5,,
t2,2,1,1,pose=left,b,completed,1,0,False,timeout,60.0,slipped;late,was slow
t3,3,2,1,pose=right,b,completed,1,2,True,success,20,,
t4,4,2,1,pose=right,a,invalid,1,,,robot_fault,3,,
t5,5,2,1,pose=right,a,completed,2,2,True,success,18,,
"""


def row(task: str, place: str, block: int, arm: str, strict: bool | None, **more: object) -> TrialRow:
    return replace(TrialRow(task, place, str(block), arm, strict), **more)  # type: ignore[arg-type]


@pytest.fixture
def trials(tmp_path: Path) -> Path:
    (tmp_path / "plan.yaml").write_text(PLAN, encoding="utf-8")
    folder = TrialFolder.lock(tmp_path / "trials", read_trial_plan(tmp_path / "plan.yaml"), {})
    with TrialStore.open(folder.path) as store:
        for slot in folder.slots()[:28]:
            stages = ("sees it", "reaches it", "holds it") if slot.arm == "good" else ("sees it",)
            good = TrialVerdict(Outcome.SUCCESS, soft=True, stages=stages, duration_s=20.0 + slot.number)
            poor = TrialVerdict(
                Outcome.FAILURE, soft=slot.block < 5, stages=stages, failure="timeout", duration_s=180.0
            )
            store.finish(slot.number, store.begin(slot.number), good if slot.arm == "good" else poor, str(slot.number))
    return folder.path


def test_the_plans_decision_is_made_under_codes_and_names_the_arm_once_unsealed(
    trials: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = analyse(of_trials(TrialFolder.read(trials)))
    assert found.ranking is not None
    assert found.ranking.may_stop
    assert found.ranking.best in ("arm A", "arm B")
    assert main(["analyse", str(trials)]) == 0
    sealed = capsys.readouterr().out
    assert "good" not in sealed
    assert "poor" not in sealed
    assert main(["unseal", str(trials), "--by", "ada", "--why", "it is clear"]) == 0
    assert main(["analyse", str(trials), "--output", str(tmp_path / "tables")]) == 0
    assert "You may stop: good is the best." in capsys.readouterr().out
    (decision,) = csv.DictReader((tmp_path / "tables" / "decisions.csv").read_text().splitlines())
    assert (decision["first"], decision["second"]) == ("good", "poor")
    assert decision["decision"] == "you may stop: good is better"
    assert r"\toprule" in (tmp_path / "tables" / "tables.tex").read_text()
    again = analyse(read_table(tmp_path / "tables" / "trials.csv"))
    now = analyse(of_trials(TrialFolder.read(trials)))
    assert [one.strict for one in again.cells] == [one.strict for one in now.cells]


def test_a_sealed_table_does_not_tell_which_arm_is_the_plans_first(trials: Path, tmp_path: Path) -> None:
    plan = read_trial_plan(tmp_path / "plan.yaml")
    folders = [TrialFolder.lock(tmp_path / f"locked {number}", plan, {}) for number in range(12)]
    assert {of_trials(folder).pairs for folder in folders} == {(("arm A", "arm B"),)}


def test_each_arm_has_soft_and_strict_and_partial_credit_and_times(trials: Path) -> None:
    with TrialStore.open(trials) as store:
        store.unseal("ada", "enough")
    good, poor = analyse(of_trials(TrialFolder.read(trials))).cells
    assert (good.arm, good.strict.value, poor.arm, poor.strict.value) == ("good", 1.0, "poor", 0.0)
    assert poor.soft is not None
    assert poor.soft.value == 5 / 14
    assert (good.progress, poor.progress) != (None, None)
    assert poor.progress is not None
    assert poor.progress.value == pytest.approx(1 / 3)
    assert poor.time_s is not None
    assert poor.time_s.value == 180.0
    assert good.time_s is not None
    assert good.time_s.value < 60.0
    assert good.strict.low < 0.7  # 14 trials at 2 places, all alike: they count as 2


def test_arms_with_common_blocks_are_paired_and_others_are_not() -> None:
    rows = [row("t", f"p{i}", i, arm, won) for i in range(12) for arm, won in (("a", i < 9), ("b", i < 3))]
    (paired,) = analyse(TrialTable("x", tuple(rows))).contrasts
    assert (paired.method, paired.p_value, paired.strict.value) == ("paired", mcnemar(6, 0), 0.5)
    apart = [replace(one, block=one.block + one.arm) for one in rows]
    (unpaired,) = analyse(TrialTable("x", tuple(apart))).contrasts
    assert (unpaired.method, unpaired.p_value) == ("unpaired", boschloo((9, 12), (3, 12)))


def test_several_comparisons_are_adjusted_and_tasks_are_put_together() -> None:
    rows = [
        row(task, f"p{i}", i + 100 * (task == "u"), arm, i < wins)
        for task in ("t", "u")
        for i in range(10)
        for arm, wins in (("a", 9), ("b", 5), ("c", 1))
    ]
    found = analyse(TrialTable("x", tuple(rows)))
    assert [(one.task, one.first, one.second) for one in found.contrasts[-3:]] == [
        (ALL, "a", "b"),
        (ALL, "a", "c"),
        (ALL, "b", "c"),
    ]
    assert all(one.adjusted >= one.p_value for one in found.contrasts)
    assert found.cells[-3].strict.n == 20


def test_simulation_and_reality_of_one_bundle_stand_beside_each_other() -> None:
    real = [row("t", f"p{i}", i, "a", i % 4 > 0, bundle_sha256="5e" * 32) for i in range(16)]
    twin = [row("t", f"p{i}", i, "a", i % 4 > 0, bundle_sha256="5e" * 32, simulated=True) for i in range(400)]
    other = [replace(one, bundle_sha256="ab" * 32) for one in twin]
    (found,) = analyse(TrialTable("real", tuple(real)), [TrialTable("twin", tuple(twin))]).transfers
    assert (found.real.n, found.twin.n, found.difference.value) == (16, 400, 0.0)
    assert found.joined is not None
    assert found.joined.correlation == pytest.approx(1.0)
    assert analyse(TrialTable("real", tuple(real)), [TrialTable("twin", tuple(other))]).transfers == ()


def test_fieldtrials_export_is_read(tmp_path: Path) -> None:
    path = tmp_path / "study.csv"
    path.write_text(FIELDTRIAL, encoding="utf-8")
    table = read_table(path)
    assert [one.strict for one in table.rows] == [True, False, True, None, True]
    assert [one.progress for one in table.rows[:2]] == [1.0, pytest.approx(1 / 3)]
    assert table.rows[1].failure == "slipped;late"
    found = analyse(table)
    (contrast,) = found.contrasts
    assert (contrast.method, contrast.strict.n, contrast.strict.value) == ("paired", 2, 0.5)
    assert [one.aborted for one in found.cells] == [1, 0]


def test_what_ferry_writes_it_reads_again(tmp_path: Path) -> None:
    rows = (
        row("fetch", "door, left", 0, "a", True, soft=True, progress=1.0, stages=3, duration_s=12.0, operator="ada"),
        row("fetch", "door, left", 0, "b", False, soft=True, progress=1 / 3, stages=1, failure="timeout", note='a "b"'),
        row("fetch", "sofa", 1, "a", None, failure="robot failed", attempt=2, started="2026-11-30T12:00:00+00:00"),
        row("fetch", "sofa", 1, "b", True, soft=True, simulated=True, bundle_sha256="5e" * 32, progress=1.0, stages=3),
    )
    write_table(TrialTable("x", rows), tmp_path / "x.csv")
    assert read_table(tmp_path / "x.csv").rows == rows


@pytest.mark.skipif(find_spec("fieldtrial") is None, reason="fieldtrial, the oracle, is not installed")
def test_fieldtrial_reads_what_ferry_writes(tmp_path: Path) -> None:
    from fieldtrial.io.csv import read_import_csv

    rows = (row("t", "p", 0, "a", True, duration_s=3.0), row("t", "p", 0, "b", None, failure="robot failed"))
    write_table(TrialTable("x", rows), tmp_path / "x.csv")
    first, second = read_import_csv(tmp_path / "x.csv")
    assert (first.condition, first.arm, first.success, first.duration_s) == ("t/p", "a", True, 3.0)
    assert (second.arm, second.invalid_reason) == ("b", "robot failed")


@pytest.mark.parametrize(
    "text",
    [
        "condition,success\nleft,true\n",
        "condition,arm\nleft,a\n",
        "condition,arm,success\nleft,a,perhaps\n",
        "condition,arm,success\nleft,a,\n",
        "condition,arm,success,duration_s\nleft,a,true,-1\n",
        "condition,arm,stage\nleft,a,far\n",
        "condition,arm,success\n,a,true\n",
        "\x00\xff",
    ],
)
def test_a_table_that_cannot_be_read_names_its_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(RecordError, match=r"bad\.csv"):
        read_table(path)


def test_a_source_that_is_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError):
        main(["analyse", str(tmp_path)])
    with pytest.raises(EvaluationError):
        main(["evaluate"])


def test_a_plan_is_shown_without_being_locked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "plan.yaml").write_text(PLAN, encoding="utf-8")
    assert main(["plan", str(tmp_path / "plan.yaml")]) == 0
    assert "30 blocks of 2 arms = 60 trials" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["plan.yaml"]


def test_cells_are_harmless_in_spreadsheets_and_in_latex(tmp_path: Path) -> None:
    grid = Grid("x", "50 % & more", ("a_b", "c"), (("=1+1", "+5 [-2, +9]"), ("a & b", "100 %")))
    write_grids([grid], tmp_path)
    assert (tmp_path / "x.csv").read_text().splitlines() == ["a_b,c", '\'=1+1,"+5 [-2, +9]"', "a & b,100 %"]
    assert r"a\_b & c \\" in (tmp_path / "tables.tex").read_text()
    assert r"a \& b & 100 \% \\" in (tmp_path / "tables.tex").read_text()


def test_verdicts_are_words() -> None:
    assert {one.value for one in Verdict} >= {"go on", "no use to go on"}

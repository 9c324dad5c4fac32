"""The report: its three files, read back as a reader or a program would."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from episodes import FLOOR, SHA256, episode_of, plan_of, run_folder

from evaluation.errors import FolderError, RecordError
from evaluation.plans.trial import Outcome
from evaluation.records.episode import CHASE_FILE, POSTER_FILE, Metrics
from evaluation.records.run_folder import RunFolder
from evaluation.records.video import Video, write_jpeg
from evaluation.reporting.page import unbroken
from evaluation.reporting.report import main, write_report
from evaluation.stages.trial_setup import TrialSetup

S, F, A, I = Outcome.SUCCESS, Outcome.FAILURE, Outcome.ABORTED, Outcome.INTERVENTION  # noqa: E741
VOID = {"meta", "img", "circle", "line", "input", "br", "link", "polygon", "polyline", "use"}


class Page(HTMLParser):
    """Checks that tags close in order, and keeps elements, the text of each section, and links."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.section, self.text = "", dict[str, str]()
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.elements.append((tag, values))
        if tag == "section":
            self.section = values["id"]
        if tag not in VOID or (tag == "polygon"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text[self.section] = " ".join(f"{self.text.get(self.section, '')} {data}".split())

    def having(self, name: str, word: str) -> list[dict[str, str]]:
        return [values for _, values in self.elements if word in values.get(name, "").split()]


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = run_folder(tmp_path / "run", {"mini": [S, S, F, A], "random": [F, F, I, F]})
    home = folder.trial(folder.info.plan.trials()[0])
    video = Video(home / "video.webm", (40, 60))
    video.add(np.full((40, 60, 3), 90, np.uint8))
    video.close()
    write_jpeg(home / "filmstrip.jpg", np.full((84, 300, 3), 90, np.uint8))
    return folder


@pytest.fixture
def page(folder: RunFolder, tmp_path: Path) -> Page:
    write_report([folder], tmp_path / "report")
    return Page((tmp_path / "report" / "report.html").read_text(encoding="utf-8"))


def test_the_first_section_is_the_table_with_intervals_and_both_denominators(page: Page) -> None:
    text = page.text["summary"]
    assert re.search(r"mini 5e5e5e5e twin object_nav 67 % \[9, 99\], 50 % of all 53 % \[0, 80\] 3 \(1 aborted\)", text)
    assert "random 5e5e5e5e twin object_nav 0 % [0, 60] 0 % [0, 49] 4 (1 intervention)" in text
    assert "With 1 aborted trial of mini on twin counted as no success: 50 % [7, 93] of 4." in text
    assert "mini against random: +67 points" in text


def test_failures_stand_by_kind(page: Page) -> None:
    assert "timeout 1 3" in page.text["failures"]
    assert "intervention 0 1" in page.text["failures"]
    assert "policy failed 1 0" in page.text["failures"]


def test_a_policy_that_says_done_too_early_has_a_sentence_about_it(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run", {"mini": [S, S, F, S], "random": [F, F, F, F]})
    for trial in folder.info.plan.trials():
        if trial.policy == "random":
            early = episode_of(trial, F, failure="wrong done: target not visible", metrics=Metrics(steps=25))
            early.write(folder.trial(trial))
    write_report([folder], tmp_path / "report")
    text = Page((tmp_path / "report" / "report.html").read_text(encoding="utf-8")).text["failures"]
    assert "random ended 4 of 4 trials itself, by saying done in the wrong place after 25 decisions on average" in text
    assert "mini ended" not in text


def test_a_number_stays_with_its_unit() -> None:
    assert unbroken("target 1.0 m away, 3 more") == "target 1.0\u00a0m away, 3 more"


def test_targets_stand_with_their_counts(page: Page) -> None:
    assert "sofa 2 of 3 0 of 4" in page.text["categories"]


def test_the_bundle_stands_with_its_hash_its_provenance_and_what_may_be_claimed(page: Page) -> None:
    text = page.text["bundles"]
    assert SHA256 in text
    assert "ab" * 32 in text
    assert "object_nav, val houses, greedy: 64 % [57, 70] in 200 episodes" in text
    assert "ferry train bc" in text
    assert "Simulated results only" in text


def test_a_trial_that_was_filmed_has_a_player_that_shows_its_image_first(folder: RunFolder, tmp_path: Path) -> None:
    first, second = (folder.trial(trial) for trial in folder.info.plan.trials()[:2])
    for name in (CHASE_FILE, POSTER_FILE):
        (first / name).write_bytes(name.encode())
    write_report([folder], tmp_path / "report")
    page = Page((tmp_path / "report" / "report.html").read_text(encoding="utf-8"))
    (player,) = [values for tag, values in page.elements if tag == "video"]
    assert "controls" in player
    assert (tmp_path / "report" / player["src"]).read_bytes() == CHASE_FILE.encode()
    assert (tmp_path / "report" / player["poster"]).read_bytes() == POSTER_FILE.encode()
    assert not (second / CHASE_FILE).exists()


def test_every_trial_has_a_card_with_its_path_and_what_became_of_it(page: Page) -> None:
    assert len(page.having("class", "card")) == 8
    assert len(page.having("class", "is-success")) == 2
    assert len(page.having("class", "is-aborted")) == 1
    assert len(page.having("class", "path")) == 8
    assert page.having("class", "path")[0]["points"] == "50,-50 150,-50 250,-150"
    assert "“find a sofa” , the expert needs 16 decisions" in page.text["trials"].replace("”,", "” ,")
    assert "nearest target 1.2 m away, in sight" in page.text["trials"]


def test_the_floor_of_a_house_is_drawn_once_for_all_its_trials(page: Page) -> None:
    assert len(page.having("class", "target")) == 4
    assert len([tag for tag, _ in page.elements if tag == "use"]) == 8
    names = [values["id"] for tag, values in page.elements if tag == "symbol"]
    used = {values["href"].lstrip("#") for tag, values in page.elements if tag == "use"}
    assert set(names) == used
    assert len(set(names)) == len(names)


def test_the_page_needs_nothing_from_elsewhere(page: Page, tmp_path: Path) -> None:
    html = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"https?://|//cdn|@import|<script|<link", html)
    assert "prefers-color-scheme: dark" in html
    images = [values["src"] for tag, values in page.elements if tag == "img"]
    assert len(images) == 1
    assert images[0].startswith("data:image/jpeg;base64,")


def test_a_video_has_a_player_and_lies_beside_the_page(page: Page, tmp_path: Path) -> None:
    players = [values for tag, values in page.elements if tag == "video"]
    assert [("controls" in values, values["preload"]) for values in players] == [(True, "none")]
    links = [values["src"] for values in players]
    assert (tmp_path / "report" / links[0]).read_bytes()[:4] == b"\x1aE\xdf\xa3"


def test_trials_can_be_filtered_by_their_outcome_without_a_script(page: Page) -> None:
    choices = [values["id"] for tag, values in page.elements if tag == "input"]
    assert choices == ["show-all", "show-aborted", "show-failure", "show-intervention", "show-success"]


def test_words_from_a_plan_cannot_break_the_page(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run", {"mini": [S], "random": [F]})
    trial = folder.info.plan.trials()[0]
    evil = '<script>alert("&")</script>'
    episode_of(trial, F, note=evil, scene=TrialSetup(evil, evil, 3, FLOOR, {"a": 1})).write(folder.trial(trial))
    write_report([folder], tmp_path / "report")
    html = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    Page(html)


def test_the_json_holds_the_same_numbers_and_no_nan(folder: RunFolder, tmp_path: Path) -> None:
    write_report([folder], tmp_path / "report")
    text = (tmp_path / "report" / "report.json").read_text(encoding="utf-8")
    data = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
    mini, random = data["rows"]
    assert mini["key"] == {"plan": "test houses", "robot": "twin", "task": "object_nav", "policy": "mini"}
    assert (mini["success"]["n"], mini["success_of_all"]["n"], mini["aborted"]) == (3, 4, 1)
    assert mini["success"]["value"] == pytest.approx(2 / 3)
    assert random["failures"] == {"timeout": 3, "intervention": 1}
    assert [one["outcome"] for one in mini["trials"]].count("aborted") == 1
    assert all(one["outcome"] for row in data["rows"] for one in row["trials"])  # never blank
    assert mini["trials"][0]["metrics"]["expert_steps"] == 16
    assert data["bundles"][0]["sha256"] == SHA256
    assert data["comparisons"][0]["result"]["difference"]["n"] == 3


def test_rows_without_a_judged_trial_are_null_in_json(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run", {"mini": [A], "random": [A]})
    write_report([folder], tmp_path / "report")
    data = json.loads((tmp_path / "report" / "report.json").read_text())
    assert data["rows"][0]["success"] == {"value": None, "low": 0.0, "high": 1.0, "n": 0}
    assert "<td>-</td>" in (tmp_path / "report" / "report.html").read_text()


def test_the_markdown_is_a_table_with_notes(folder: RunFolder, tmp_path: Path) -> None:
    write_report([folder], tmp_path / "report")
    lines = (tmp_path / "report" / "report.md").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "# test houses"
    assert lines[2] == "| policy | robot | task | success | SEL | trials |"
    assert lines[4] == "| mini | twin | object_nav | 67 % [9, 99], 50 % of all | 53 % [0, 80] | 3 (1 aborted) |"
    assert "| timeout | 1 | 3 |" in lines
    assert f"- bundle `{SHA256}`" in lines
    assert any(line.startswith("With 1 aborted of mini") for line in lines)


def test_a_home_without_a_map_is_drawn_around_the_paths(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run", {"mini": [S], "random": [F]}, scene=TrialSetup("find a sofa", "sofa"))
    write_report([folder], tmp_path / "report")
    page = Page((tmp_path / "report" / "report.html").read_text(encoding="utf-8"))
    assert page.having("class", "map")[0]["viewbox"] == "-10 -210 320 220"
    assert page.having("class", "room") == []


def test_a_trial_that_never_moved_has_a_card_too(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run", {"mini": [A], "random": [A]}, scene=None, path=(), steps=())
    write_report([folder], tmp_path / "report")
    page = Page((tmp_path / "report" / "report.html").read_text(encoding="utf-8"))
    assert len(page.having("class", "card")) == 2
    assert "no map" in page.text["trials"]


def test_several_folders_make_one_report(folder: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = run_folder(
        tmp_path / "home", {"mini": [S, F], "random": [F, F]}, robot="stretch_re1", scene=TrialSetup("go")
    )
    words = [str(folder.path), str(home.path), "--output", str(tmp_path / "report")]
    assert main(words) == 0
    output = capsys.readouterr().out
    assert "zero-shot: the same bundle 5e5e5e5e5e5e in both" in output
    assert output.rstrip().endswith("report.html")
    page = Page((tmp_path / "report" / "report.html").read_text(encoding="utf-8"))
    assert len(page.having("class", "card")) == 12
    anchors = [values["id"] for values in page.having("class", "card")]
    assert len(set(anchors)) == len(anchors)


def test_rows_of_plans_that_differ_in_a_perturbation_alone_say_which(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plans = ("paint", "paint, drive=3")
    folders = [
        run_folder(tmp_path / str(number), {"mini": [S, F], "random": [F, F]}, replace(plan_of(count=2), name=name))
        for number, name in enumerate(plans)
    ]
    assert main([*(str(one.path) for one in folders), "--output", str(tmp_path / "report")]) == 0
    table, notes = capsys.readouterr().out.split("\n\n")[:2]
    assert [line.split("  ")[-1].strip() for line in table.splitlines()] == ["plan", *sorted(2 * plans)]
    assert [note.split(":")[0] for note in notes.splitlines()] == list(plans)


def test_a_house_stands_once_with_the_trials_of_all_folders(folder: RunFolder, tmp_path: Path) -> None:
    other = run_folder(tmp_path / "other", {"mini": [S, F], "random": [F, F]}, robot="ros")
    write_report([folder, other], tmp_path / "report")
    page = Page((tmp_path / "report" / "report.html").read_text(encoding="utf-8"))
    assert len(page.having("class", "block")) == 4
    assert len(page.having("class", "card")) == 12
    assert len([tag for tag, _ in page.elements if tag == "symbol"]) == 4
    order = [values["id"] for values in page.having("class", "card")][:4]
    assert order == ["twin-0000-mini", "twin-0001-random", "ros-0000-mini", "ros-0001-random"]


def test_a_folder_that_holds_no_evaluation_or_no_trial_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"run.json: got no such file"):
        main([str(tmp_path), "--output", str(tmp_path / "report")])
    empty = run_folder(tmp_path / "run", {"mini": [None], "random": [None]})
    with pytest.raises(FolderError, match="no trials yet"):
        write_report([empty], tmp_path / "report")
    assert not (tmp_path / "report").exists()

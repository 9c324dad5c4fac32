"""The operator's page in a real browser of a phone's size, driven by somebody who makes mistakes, on a twin.

The journal must say in the end what the twin itself knows: each trial once, judged as it went.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

if any(find_spec(name) is None for name in ("segno", "uvicorn", "onnxruntime", "onnx", "mujoco", "playwright")):
    pytest.skip("needs the extras 'trials', 'train' and 'dev' (playwright)", allow_module_level=True)
if shutil.which("chromium") is None:
    pytest.skip("needs a browser: apt-get install chromium", allow_module_level=True)

from operator_page import lock, page
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

from evaluation.operator.in_process_rig import InProcessRig
from evaluation.operator.rig import Setting
from evaluation.operator.twin_rig import succeeded
from evaluation.records.trial_folder import TrialFolder
from evaluation.step import RunEnd
from robots.fakes.kinematic import FakeOptions, FakeRobot
from simulation.episode import EpisodeSpec
from simulation.episode_info import episode_info
from simulation.houses.cache import cached_house
from simulation.houses.seeds import house_seed
from simulation.task_registry import task
from simulation.twins.house_twin import StretchTwin, TwinOptions

STILL = TwinOptions(move_noise_m=0.0, turn_noise_rad=0.0)
PHONE = {"width": 390, "height": 844}
WAIT_MS = 20_000


def beside(twin: StretchTwin, episode: EpisodeSpec) -> EpisodeSpec:
    """The episode from a start at which its target is in sight and near."""
    for thing in cached_house(episode.house_seed).objects:
        for turn in range(8) if thing.category == episode.target else ():
            angle = turn * math.pi / 4
            x, y = (at - 1.2 * way for at, way in zip(thing.position_m, (math.cos(angle), math.sin(angle))))
            near = replace(episode, start=(x, y, angle))
            twin.reset(near)
            if episode_info(twin).to_json()["success"]:
                return near
    raise AssertionError(f"no place beside a {episode.target}")


def until(page: Page, phase: str) -> None:
    """Waits for a phase of the page."""
    expect(page.locator("body")).to_have_attribute("data-phase", phase, timeout=WAIT_MS)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield browser
        browser.close()


class Operator:
    """Somebody with a phone."""

    def __init__(self, browser: Browser, joined: str) -> None:
        self.context = browser.new_context(viewport=PHONE, has_touch=True, device_scale_factor=2)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(WAIT_MS)
        self.page.goto(joined)

    def begin(self, tap: Callable[[Any], object] = lambda button: button.tap()) -> None:
        """Starts a trial and waits for its end."""
        start = self.page.get_by_role("button", name="START")
        expect(start).to_be_enabled(timeout=WAIT_MS)
        tap(start)
        until(self.page, "verdict")

    def choose(self, success: bool) -> None:
        """Fills the rubric in."""
        if success:
            self.page.locator("#outcomes [data-name=success]").tap()
        else:
            self.page.locator("#outcomes [data-name=failure]").tap()
            self.page.locator("#failures [data-name='missed the object']").tap()

    def save(self, taps: int = 1) -> None:
        """Saves the verdict and waits until it is kept."""
        button = self.page.locator("#go")
        expect(button).to_have_text("SAVE VERDICT", timeout=WAIT_MS)
        expect(button).to_be_enabled(timeout=WAIT_MS)
        box = button.bounding_box()
        assert box is not None
        for _ in range(taps):  # where the thumb is, whatever is there by then
            self.page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        expect(self.page.locator("body")).not_to_have_attribute("data-phase", "verdict", timeout=WAIT_MS)

    def undo(self) -> None:
        """Takes the last verdict back."""
        self.page.locator("#undo").tap()
        self.page.get_by_role("button", name="tap again to undo").tap()
        until(self.page, "verdict")


@cache
def two_starts() -> tuple[EpisodeSpec, EpisodeSpec]:
    """A start beside the target, and one from which it is not seen."""
    twin = StretchTwin(STILL)
    episode = task("object_nav").sample(house_seed("test", 0), eye=twin.eye)
    return beside(twin, episode), episode


@contextmanager
def twin_page(folder: Path) -> Iterator[tuple[str, dict[int, bool]]]:
    """The page of a twin; yields its address and what the twin knows: trial -> success."""
    twin, truth = StretchTwin(STILL), dict[int, bool]()
    starts = two_starts()

    def ended(setting: Setting, end: RunEnd) -> None:
        truth[setting.trial] = succeeded(twin, end)

    rig = InProcessRig(twin, lambda setting: twin.reset(starts[setting.place]), name="twin", ended=ended)
    with page(folder, lambda: rig) as joined:
        yield joined, truth


def test_the_journal_says_what_the_twin_knows_whatever_the_operator_does_wrong(
    browser: Browser, tmp_path: Path
) -> None:
    folder = lock(tmp_path, blocks=2, operation="start_shift_px: 30")
    with twin_page(folder) as (joined, truth):
        one = Operator(browser, joined)
        for trial in range(4):
            keep = one.page.get_by_role("button", name="keep as reference")
            until(one.page, "place")
            if trial in (0, 2):
                expect(one.page.locator("#go")).to_have_text("keep a reference picture first", timeout=WAIT_MS)
                keep.tap()
                expect(one.page.locator("#ghost")).to_be_visible(timeout=WAIT_MS)
            one.begin((lambda button: button.dblclick()) if trial == 1 else (lambda button: button.tap()))
            if trial == 1:
                one.choose(truth[trial])
                one.page.reload()  # what was chosen is still there
            elif trial == 2:
                one.choose(not truth[trial])  # the wrong one
                one.save()
                one.undo()
                one.choose(truth[trial])
            elif trial == 3:  # the phone is put away, and another one is taken
                one.page.close()
                one = Operator(browser, joined)
                one.choose(truth[trial])
            else:
                one.choose(truth[trial])
            one.save(taps=3 if trial in (0, 3) else 1)
        expect(one.page.get_by_role("heading", name="All trials are done")).to_be_visible()
    kept = TrialFolder.read(folder).kept()
    assert [one.slot.number for one in kept] == list(range(4))
    assert {one.slot.number: one.verdict.strict for one in kept} == truth
    assert set(truth.values()) == {True, False}


def test_a_verdict_whose_answer_got_lost_is_kept_once_and_stays_undone(browser: Browser, tmp_path: Path) -> None:
    folder = lock(tmp_path)
    with page(folder, lambda: InProcessRig(FakeRobot(FakeOptions(real_time=False)))) as joined:
        one = Operator(browser, joined)

        def lose(route: Route) -> None:
            route.fetch()  # the server has it
            route.abort()

        one.page.route("**/verdict", lose, times=1)
        one.begin()
        one.choose(success=True)
        one.save()
        one.undo()
        expect(one.page.locator("#alert")).to_contain_text("undone", timeout=WAIT_MS)
        assert not TrialFolder.read(folder).kept()  # it did not come back by itself
        one.choose(success=False)
        one.save()
    assert [one.verdict.strict for one in TrialFolder.read(folder).kept()] == [False]


def test_the_stop_is_at_hand_and_keys_and_pedals_work(browser: Browser, tmp_path: Path) -> None:
    folder = lock(tmp_path)
    with twin_page(folder) as (joined, _):
        one = Operator(browser, joined)
        expect(one.page.get_by_role("button", name="START")).to_be_enabled(timeout=WAIT_MS)
        stop = one.page.locator("#stop").bounding_box()
        assert stop is not None
        assert stop["height"] >= 88
        assert stop["y"] + stop["height"] <= PHONE["height"]  # in reach without scrolling
        one.page.locator("#stop").tap()
        expect(one.page.locator("#stop")).to_have_text("STOPPED", timeout=WAIT_MS)
        expect(one.page.locator("#go")).to_be_disabled()
        one.page.get_by_role("button", name="clear the stop").tap()
        expect(one.page.get_by_role("button", name="START")).to_be_enabled(timeout=WAIT_MS)
        one.page.keyboard.press("Escape")
        expect(one.page.locator("#stop")).to_have_text("STOPPED", timeout=WAIT_MS)
        one.page.get_by_role("button", name="clear the stop").tap()
        expect(one.page.get_by_role("button", name="START")).to_be_enabled(timeout=WAIT_MS)
        one.page.keyboard.press("PageDown")  # a pedal
        until(one.page, "verdict")
        one.page.keyboard.press("1")
        expect(one.page.locator("#go")).to_be_enabled(timeout=WAIT_MS)
        one.page.keyboard.press("PageDown")
        until(one.page, "place")
        width = one.page.evaluate("document.documentElement.scrollWidth")
        assert width <= PHONE["width"]  # nothing is cut off at the side
    assert len(TrialFolder.read(folder).kept()) == 1

"""Writes down what a policy node drives without a plan: each trial a folder, as `ferry evaluate` writes them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from evaluation.episode import Episode
from evaluation.judge import Verdict
from evaluation.recorder import Recorder
from evaluation.scene import Scene
from evaluation.trial import Outcome, Trial

NOT_JUDGED = "nobody judged this trial: it was driven without a plan"


def begin(folder: Path, instruction: str, policy: str, bundle_sha256: str, body: str, max_steps: int) -> Recorder:
    """The recorder of a trial that begins now, in a new folder of `folder`; subscribe it to the Runner."""
    name = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S-%f")
    trial = Trial(0, 0, "driven", policy, 0, max_steps)
    known = Episode(trial, Outcome.ABORTED, bundle_sha256=bundle_sha256, manifest=policy, embodiment=body, robot="ros")
    return Recorder(folder / name, known, Scene(instruction))


def finish(recorder: Recorder) -> Episode:
    """Writes the record; why the trial ended, and each refusal, stands in it."""
    end = recorder.end
    why = f"{end.reason}: {end.message}" if end and end.message else end.reason if end else "it never began"
    return recorder.finish(Verdict(Outcome.ABORTED, f"{NOT_JUDGED}; it ended: {why}"))

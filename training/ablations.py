"""`ferry train ablate`: FLaRe's comparisons one after the other at an equal budget, and their table.

Every comparison is one command line (`COMPARISONS`); the table names them. What is finished is passed over and what was
cut off is resumed, so that the same command can be started again at any time; with another command it is refused. A run
that diverges is a result too: its last good checkpoint is judged.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import tyro

from simulation.tasks.object_nav import TASK
from training.closed_loop.evaluate import EvaluateOptions, evaluate, plain, result_file
from training.errors import CheckpointError, ConfigError, Diverged, TrainingError
from training.rl import jsrl, pirlnav, ppo, sac
from training.runtime.checkpoint import load

SAMPLINGS = ("greedy", "sample")
LAST, DIVERGED, WORDS = "last.pt", "diverged.txt", "words.txt"
SCRATCH = "ppo --scratch --warmup 0 --lr 1e-3 --critic-lr 1e-3 --entropy-coefficient 0.01"
"""As PoliFormer trains, with ten times FLaRe's learning rate and some entropy; its one network for both is left out.
JSRL's learner, which is untrained as well, has the same rates."""

COMPARISONS: Mapping[str, str] = MappingProxyType({
    "clone": "",
    "flare": "ppo",
    "sac": "sac",
    "sac_gentle": "sac --temperature 0.01 --entropy-share 0.2",
    "lr_10x": "ppo --lr 1e-3 --critic-lr 5e-3",
    "shared": "ppo --shared",
    "entropy_bonus": "ppo --entropy-coefficient 0.2",
    "scratch_sparse": SCRATCH,
    "scratch_dense": f"{SCRATCH} --reward.step -0.01 --reward.shaping 1.0",
    "jsrl": "jsrl --lr 1e-3 --critic-lr 1e-3 --entropy-coefficient 0.01",
    "pirlnav": "pirlnav",
    "step_penalty": "ppo --reward.step -0.01",
    "collision_penalty": "ppo --reward.collision -0.5",
})  # fmt: skip
"""Name -> what follows `ferry train`; the clone itself is not trained any further (behaviour cloning only, SPOC)."""


STAGES: Mapping[str, Callable[[Sequence[str]], int]] = MappingProxyType(
    {"ppo": ppo.main, "sac": sac.main, "jsrl": jsrl.main, "pirlnav": pirlnav.main}
)


@dataclass(frozen=True)
class AblateOptions:
    """Trains and judges FLaRe's comparisons from one clone."""

    run: Path = Path("runs/mini")
    """Folder of the run; what is made here goes to its folder `ablations`."""
    clone: Path | None = None
    """Checkpoint to start from; by default the run's bc/best.pt."""
    comparisons: tuple[str, ...] = tuple(COMPARISONS)
    """Which, in this order."""
    seeds: tuple[int, ...] = (0,)
    """All comparisons with the first seed come first."""
    steps: int = 300_000
    """Simulation steps of each run."""
    houses: int = 200
    """Episodes that each final policy is judged in, the same for all, one per house."""
    split: str = "test"
    max_steps: int = 200
    """Longest episode where a policy is judged."""
    task: str = TASK
    """What is trained and judged, of `simulation.task_registry`."""
    body: str = "stretch_re1"
    """Whose twin: stretch_re1 or locobot."""
    workers: int = 2
    threads: int = 2
    """Torch threads of the updates."""
    more: str = "--evaluate-every 0 --kl-stop inf"
    """Words for every training, said as --more="--a 1 --b 2"; by default there is no evaluation on the way, and a
    collapse is shown instead of stopped."""

    @property
    def source(self) -> Path:
        """The clone's checkpoint."""
        return self.clone or self.run / "bc" / "best.pt"

    @property
    def folder(self) -> Path:
        """Where everything goes."""
        return self.run / "ablations"


@dataclass(frozen=True)
class Trial:
    """One comparison with one seed."""

    options: AblateOptions
    comparison: str
    seed: int

    @property
    def name(self) -> str:
        """Of its folder in `ablations`; the clone has no seed."""
        return f"{self.comparison}_{self.seed}" if COMPARISONS[self.comparison] else self.comparison

    @property
    def folder(self) -> Path:
        """Its checkpoints and results."""
        return self.options.folder / self.name

    @property
    def checkpoint(self) -> Path:
        """What is judged."""
        return self.folder / LAST if COMPARISONS[self.comparison] else self.options.source

    @property
    def steps(self) -> int:
        """Simulation steps that it has done."""
        made = COMPARISONS[self.comparison] and self.checkpoint.is_file()
        return int(load(self.checkpoint, "policy")["steps"]) if made else 0

    @property
    def finished(self) -> bool:
        """Whether there is nothing more to train."""
        over = self.steps >= self.options.steps or (self.folder / DIVERGED).is_file()
        return over or not COMPARISONS[self.comparison]

    def words(self) -> list[str]:
        """What follows `ferry train`."""
        options = self.options
        machine = ["--steps", str(options.steps), "--workers", str(options.workers), "--threads", str(options.threads)]
        return [*self.recipe(), *machine, *(["--resume"] if self.checkpoint.is_file() else [])]

    @property
    def asked(self) -> EvaluateOptions:
        """How its policy is judged."""
        options = self.options
        return EvaluateOptions(
            self.checkpoint, options.houses, options.split, max_steps=options.max_steps, workers=options.workers,
            task=(options.task,), body=options.body,
        )  # fmt: skip

    def result_path(self, sampling: str) -> Path:
        """Where the result is kept."""
        return self.folder / result_file(self.asked, sampling)

    def recipe(self) -> list[str]:
        """Those words that a run may not change on its way."""
        options = self.options
        where = ["--run", str(options.run), "--name", f"ablations/{self.name}", "--clone", str(options.source)]
        what = ["--play.task", options.task, "--play.body", options.body, "--seed", str(self.seed)]
        return [*shlex.split(COMPARISONS[self.comparison]), *where, *what, *shlex.split(options.more)]

    def expect_same(self) -> None:
        """Raises CheckpointError where its folder holds a run of other words, or of unknown ones."""
        path, wanted = self.folder / WORDS, shlex.join(self.recipe())
        begun = any((self.folder / name).is_file() for name in (LAST, DIVERGED))
        was = path.read_text(encoding="utf-8").strip() if path.is_file() else "words that nobody wrote down"
        if begun and was != wanted:
            raise CheckpointError(
                f"{self.folder}: got a run of '{was}', expected '{wanted}'; move it or use another --run"
            )


def main(argv: Sequence[str]) -> int:
    """Runs `ferry train ablate`; 1 if a run failed for another reason than diverging."""
    options = tyro.cli(AblateOptions, args=list(argv), prog="ferry train ablate")
    check(options)
    for trial in trials(options):
        trial.expect_same()
    failed = 0
    for trial in trials(options):
        try:
            _train(trial)
            _judge(trial)
        except TrainingError as error:
            failed += 1
            print(f"{trial.name}: {error}", flush=True)  # the next ones may still do; started again, it is resumed
        text = table(options)
        (options.folder / "table.md").write_text(text, encoding="utf-8")
    print(table(options))
    return 1 if failed else 0


def check(options: AblateOptions) -> None:
    """Raises ConfigError for a comparison that is not known, CheckpointError without a clone."""
    for one in options.comparisons:
        if one not in COMPARISONS:
            raise ConfigError("comparison", repr(one), f"one of {', '.join(COMPARISONS)}")
    load(options.source, "policy")
    options.folder.mkdir(parents=True, exist_ok=True)


def trials(options: AblateOptions) -> Iterator[Trial]:
    """All that is to be done, in order; the clone once."""
    for number, seed in enumerate(options.seeds):
        for name in options.comparisons:
            if COMPARISONS[name] or number == 0:
                yield Trial(options, name, seed)


def _train(trial: Trial) -> None:
    if trial.finished:
        return
    trial.folder.mkdir(parents=True, exist_ok=True)
    for result in trial.folder.glob("*.json"):  # of fewer steps
        result.unlink()
    (trial.folder / WORDS).write_text(f"{shlex.join(trial.recipe())}\n", encoding="utf-8")
    words = trial.words()
    print(f"\n{shlex.join(['ferry', 'train', *words])}", flush=True)
    try:
        STAGES[words[0]](words[1:])
    except Diverged as error:
        (trial.folder / DIVERGED).write_text(f"{error}\n", encoding="utf-8")


def _judge(trial: Trial) -> None:
    """Plays the final policy, unless the same was done before."""
    if not trial.checkpoint.is_file():
        return
    for sampling in SAMPLINGS:
        path = trial.result_path(sampling)
        if _result(trial, sampling) is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(".part")
            part.write_text(json.dumps(evaluate(trial.asked, sampling), indent=1) + "\n", encoding="utf-8")
            part.replace(path)


def _result(trial: Trial, sampling: str) -> dict[str, Any] | None:
    """What was found, None where it was not, with other houses, or for another checkpoint."""
    path, asked = trial.result_path(sampling), plain(trial.asked)
    if not path.is_file():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    compared = ("checkpoint", "episodes", "split", "max_steps")
    return found if all(found["options"][name] == asked[name] for name in compared) else None


def table(options: AblateOptions) -> str:
    """What is known so far, in Markdown: the mean over seeds, and each seed's success with its interval over houses.

    Seeds are not pooled: they were judged in the same houses, and an interval over all would hide how they differ.
    """
    lines = [
        f"{options.task} on {options.body}, {options.steps} steps each; {options.houses} {options.split} houses, "
        "95 % Wilson intervals of each seed over houses",
        "",
        "| comparison | seeds | steps | greedy % | sampled % | SEL, greedy | remark |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in options.comparisons:
        some = [Trial(options, name, seed) for seed in (options.seeds if COMPARISONS[name] else options.seeds[:1])]
        lines.append(_row(name, some))
    trained = [(name, words) for name in options.comparisons if (words := COMPARISONS[name])]
    commands = [f"    {name}: ferry train {words}" for name, words in trained]
    return "\n".join([*lines, "", *commands, f"    each with {options.more}", ""])


def _row(name: str, some: Sequence[Trial]) -> str:
    results = {sampling: [one for trial in some if (one := _result(trial, sampling))] for sampling in SAMPLINGS}
    cells = [_success(results[sampling]) for sampling in SAMPLINGS]
    sel = [one["sel"] for one in results["greedy"]]
    steps = ", ".join(f"{trial.steps}" for trial in some)
    remarks = [(trial.folder / DIVERGED).read_text().strip() for trial in some if (trial.folder / DIVERGED).is_file()]
    words = [name, str(len(sel)), steps, *cells, f"{sum(sel) / len(sel):.3f}" if sel else "-", "; ".join(remarks)]
    return f"| {' | '.join(words)} |"


def _success(results: Sequence[Mapping[str, Any]]) -> str:
    """Success of each evaluation with its interval; of several, their mean first."""
    if not results:
        return "-"
    found = [{name: 100 * one["simulated"][name] for name in ("success", "low", "high")} for one in results]
    cells = [f"{one['success']:.1f} [{one['low']:.1f}, {one['high']:.1f}]" for one in found]
    mean = f"{sum(one['success'] for one in found) / len(found):.1f}: " if len(found) > 1 else ""
    return mean + ", ".join(cells)

"""`ferry train ablate`: FLaRe's comparisons at an equal budget, in turn or on a Ray cluster, and their table.

Every comparison is one command line (`COMPARISONS`); the table lists them. Finished runs are skipped and interrupted
ones resumed, so that the same command can be started again at any time; with another command it is refused. A run that
diverges is a result too: its last checkpoint is evaluated.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from socket import gethostname
from tempfile import NamedTemporaryFile
from types import MappingProxyType
from typing import Any

import tyro

from robots.processes.child import CONTEXT, signal_with_parent
from simulation.errors import SimulationError
from simulation.ray_pool import ATTEMPTS, RayPool
from simulation.tasks.object_nav import TASK
from training.bundles.start import load_policy
from training.closed_loop.evaluate import EvaluateOptions, evaluate, plain, result_file
from training.errors import CheckpointError, ConfigError, Diverged, TrainingError
from training.rl import jsrl, pirlnav, ppo, sac
from training.rl.options import FORMER_NAMES
from training.runtime.checkpoint import load

SAMPLINGS = ("greedy", "sample")
LAST, DIVERGED, ARGUMENTS = "last.pt", "diverged.txt", "words.txt"
SCRATCH = "ppo --from-scratch --warmup 0 --lr 1e-3 --critic-lr 1e-3 --ent-coef 0.01"
"""PoliFormer's settings: ten times FLaRe's learning rate and an entropy bonus, but without its shared network.
JSRL's learner, also untrained at first, has the same rates."""

COMPARISONS: Mapping[str, str] = MappingProxyType({
    "clone": "",
    "flare": "ppo",
    "sac": "sac",
    "sac_gentle": "sac --temperature 0.01 --target-entropy-scale 0.2",
    "lr_10x": "ppo --lr 1e-3 --critic-lr 5e-3",
    "shared": "ppo --shared",
    "entropy_bonus": "ppo --ent-coef 0.2",
    "scratch_sparse": SCRATCH,
    "scratch_dense": f"{SCRATCH} --reward.step -0.01 --reward.shaping 1.0",
    "jsrl": "jsrl --lr 1e-3 --critic-lr 1e-3 --ent-coef 0.01",
    "pirlnav": "pirlnav",
    "step_penalty": "ppo --reward.step -0.01",
    "collision_penalty": "ppo --reward.collision -0.5",
})  # fmt: skip
"""Name -> arguments of `ferry train`; the clone itself is not trained any further (behaviour cloning only, SPOC)."""


STAGES: Mapping[str, Callable[[Sequence[str]], int]] = MappingProxyType(
    {"ppo": ppo.main, "sac": sac.main, "jsrl": jsrl.main, "pirlnav": pirlnav.main}
)


@dataclass(frozen=True)
class AblateOptions:
    """Trains and evaluates FLaRe's comparisons from one clone."""

    run: Path = Path("runs/mini")
    """Folder of the run; results go to its folder `ablations`."""
    clone: Path | None = None
    """Checkpoint to start from; by default the run's bc/best.pt."""
    comparisons: tuple[str, ...] = tuple(COMPARISONS)
    """Names of the comparisons, run in this order."""
    seeds: tuple[int, ...] = (0,)
    """Seeds; all comparisons with the first seed come first."""
    steps: int = 300_000
    """Simulation steps of each run."""
    houses: int = 200
    """Episodes of the evaluation of each final policy, the same for all, one per house."""
    split: str = "test"
    max_steps: int = 200
    """Longest episode of the evaluation."""
    task: str = TASK
    """Task in `simulation.task_registry` for training and evaluation."""
    body: str = "stretch_re1"
    """Robot: stretch_re1 or locobot."""
    workers: int = 2
    threads: int = 2
    """Torch threads of the updates."""
    more: str = "--evaluate-every 0 --target-kl inf"
    """Arguments added to every training, given as --more="--a 1 --b 2"; by default there is no evaluation during
    training, and a collapsing run is not stopped."""
    ray: str = ""
    """Ray cluster on whose nodes the runs take place, "HEAD:6379" or "auto"; they see the run's folder at one path.
    A run takes as many cores of a node as the larger of `workers` and `threads`."""

    @property
    def source(self) -> Path:
        """The clone's checkpoint."""
        return self.clone or self.run / "bc" / "best.pt"

    @property
    def folder(self) -> Path:
        """Folder of the results."""
        return self.run / "ablations"


@dataclass(frozen=True)
class Trial:
    """One comparison with one seed."""

    options: AblateOptions
    comparison: str
    seed: int

    @property
    def name(self) -> str:
        """Name of its folder in `ablations`; the clone has no seed."""
        return f"{self.comparison}_{self.seed}" if COMPARISONS[self.comparison] else self.comparison

    @property
    def folder(self) -> Path:
        """Folder of its checkpoints and results."""
        return self.options.folder / self.name

    @property
    def checkpoint(self) -> Path:
        """Checkpoint that is evaluated."""
        return self.folder / LAST if COMPARISONS[self.comparison] else self.options.source

    @property
    def steps(self) -> int:
        """Simulation steps so far."""
        made = COMPARISONS[self.comparison] and self.checkpoint.is_file()
        return int(load(self.checkpoint, "policy")["steps"]) if made else 0

    @property
    def finished(self) -> bool:
        """Whether training is over."""
        over = self.steps >= self.options.steps or (self.folder / DIVERGED).is_file()
        return over or not COMPARISONS[self.comparison]

    def arguments(self) -> list[str]:
        """Returns the arguments of `ferry train`."""
        options = self.options
        machine = ["--steps", str(options.steps), "--workers", str(options.workers), "--threads", str(options.threads)]
        return [*self.recipe(), *machine, *(["--resume"] if self.checkpoint.is_file() else [])]

    @property
    def evaluation(self) -> EvaluateOptions:
        """Options of the evaluation of its policy."""
        options = self.options
        return EvaluateOptions(
            self.checkpoint, options.houses, options.split, max_steps=options.max_steps, workers=options.workers,
            task=(options.task,), body=options.body,
        )  # fmt: skip

    def result_path(self, sampling: str) -> Path:
        """Path of its result."""
        return self.folder / result_file(self.evaluation, sampling)

    def recipe(self) -> list[str]:
        """Returns the arguments that must stay the same when the run is resumed."""
        options = self.options
        where = ["--run", str(options.run), "--name", f"ablations/{self.name}", "--clone", str(options.source)]
        what = ["--play.task", options.task, "--play.body", options.body, "--seed", str(self.seed)]
        return [*shlex.split(COMPARISONS[self.comparison]), *where, *what, *shlex.split(options.more)]

    def expect_same(self) -> None:
        """Raises CheckpointError where its folder holds a run with other arguments, or with unknown ones."""
        path, wanted = self.folder / ARGUMENTS, shlex.join(self.recipe())
        started = any((self.folder / name).is_file() for name in (LAST, DIVERGED))
        saved = current_flags(path.read_text(encoding="utf-8").strip()) if path.is_file() else "unknown arguments"
        if started and saved != wanted:
            raise CheckpointError(
                f"{self.folder}: got a run of '{saved}', expected '{wanted}'; move it or use another --run"
            )


def current_flags(arguments: str) -> str:
    """Replaces flags in saved arguments that have been renamed since."""
    flags = {_flag(old): _flag(new) for old, new in FORMER_NAMES.items()}
    return " ".join(flags.get(argument, argument) for argument in arguments.split(" "))


def _flag(option: str) -> str:
    return f"--{option.replace('_', '-')}"


def main(argv: Sequence[str]) -> int:
    """Runs `ferry train ablate`; returns 1 if a run failed for another reason than diverging."""
    options = tyro.cli(AblateOptions, args=list(argv), prog="ferry train ablate")
    check(options)
    for trial in trials(options):
        trial.expect_same()
    failed = 0
    for name, problem in _on_cluster(options) if options.ray else _in_turn(options):
        if problem:
            failed += 1
            print(f"{name}: {problem}", flush=True)  # the next trials still run; started again, this one is resumed
        (options.folder / "table.md").write_text(table(options), encoding="utf-8")
    print(table(options))
    return 1 if failed else 0


def _in_turn(options: AblateOptions) -> Iterator[tuple[str, str]]:
    """Runs every trial here; yields its name, and why it failed."""
    for trial in trials(options):
        try:
            _train(trial)
            _evaluate(trial)
        except TrainingError as error:
            yield trial.name, str(error)
        else:
            yield trial.name, ""


def _on_cluster(options: AblateOptions) -> Iterator[tuple[str, str]]:
    """Runs every trial on a node of the cluster; yields its name, and why it failed."""

    def lost(trial: Trial, why: str, attempt: int) -> None:
        goes_on = f"goes on from step {trial.steps} on another node, attempt {attempt} of {ATTEMPTS}"
        print(f"{trial.name}: {why}; {goes_on}", flush=True)

    cores = max(options.workers, options.threads)
    with NamedTemporaryFile(dir=options.folder, prefix=".shared-") as mark:
        make = partial(TrialOnNode, Path.cwd(), Path(mark.name).absolute())
        with RayPool[Trial, tuple[str, str]](make, 0, options.ray, cores_each=cores, lost=lost) as pool:
            for trial, (line, problem) in pool.run(trials(options)):
                if line:
                    print(f"{trial.name}: {line}", flush=True)
                yield trial.name, problem


class TrialOnNode:
    """Runs trials on a node, each in a process of its own, which dies with the node's actor.

    Args:
        folder: working directory of the command that began it.
        mark: file in the folder of the results, which all nodes see if they share it.
    """

    def __init__(self, folder: Path, mark: Path) -> None:
        self._folder, self._mark = folder, mark

    def __call__(self, job: Trial, is_dropped: Callable[[], bool]) -> tuple[str, str]:
        """Trains and evaluates; returns what was done, and why it failed, else an empty text."""
        if not self._mark.is_file():
            where = f"{self._mark.parent} on {gethostname()}"
            return "", f"{where}: got no folder of this ablation, expected one that all nodes share"
        with ProcessPoolExecutor(1, CONTEXT, signal_with_parent, (os.getpid(), signal.SIGKILL)) as process:
            try:
                return process.submit(_run_here, job, self._folder).result()
            except BrokenProcessPool:
                return "", f"its process on {gethostname()} was killed; the same command resumes it"


def _run_here(trial: Trial, folder: Path) -> tuple[str, str]:
    """Runs a trial in this process, which is its own; returns what was done, and why it failed."""
    os.chdir(folder)
    begin = trial.steps
    try:
        _train(trial)
        _evaluate(trial)
    except (TrainingError, SimulationError) as error:
        return "", str(error)
    return f"steps {begin} to {trial.steps}, evaluated, on {gethostname()}", ""


def check(options: AblateOptions) -> None:
    """Raises ConfigError for an unknown comparison, CheckpointError without a clone."""
    for name in options.comparisons:
        if name not in COMPARISONS:
            raise ConfigError("comparison", repr(name), f"one of {', '.join(COMPARISONS)}")
    load_policy(options.source)
    options.folder.mkdir(parents=True, exist_ok=True)


def trials(options: AblateOptions) -> Iterator[Trial]:
    """Yields every trial in order; the clone once."""
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
    (trial.folder / ARGUMENTS).write_text(f"{shlex.join(trial.recipe())}\n", encoding="utf-8")
    arguments = trial.arguments()
    print(f"\n{shlex.join(['ferry', 'train', *arguments])}", flush=True)
    try:
        STAGES[arguments[0]](arguments[1:])
    except Diverged as error:
        (trial.folder / DIVERGED).write_text(f"{error}\n", encoding="utf-8")


def _evaluate(trial: Trial) -> None:
    """Evaluates the final policy, unless its result exists."""
    if not trial.checkpoint.is_file():
        return
    for sampling in SAMPLINGS:
        path = trial.result_path(sampling)
        if _result(trial, sampling) is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(".part")
            part.write_text(json.dumps(evaluate(trial.evaluation, sampling), indent=1) + "\n", encoding="utf-8")
            part.replace(path)


def _result(trial: Trial, sampling: str) -> dict[str, Any] | None:
    """Reads a result; None where there is none, or it is of other houses or another checkpoint."""
    path, wanted = trial.result_path(sampling), plain(trial.evaluation)
    if not path.is_file():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    compared = ("checkpoint", "episodes", "split", "max_steps")
    return found if all(found["options"][name] == wanted[name] for name in compared) else None


def table(options: AblateOptions) -> str:
    """Makes the Markdown table of the results so far: the mean over seeds, and each seed's success with its interval.

    Seeds are not pooled: they share the houses, and one interval over all would hide how they differ.
    """
    lines = [
        f"{options.task} on {options.body}, {options.steps} steps each; {options.houses} {options.split} houses, "
        "95 % Wilson intervals of each seed over houses",
        "",
        "| comparison | seeds | steps | greedy % | sampled % | SEL, greedy | remark |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in options.comparisons:
        seeds = options.seeds if COMPARISONS[name] else options.seeds[:1]
        lines.append(_row(name, [Trial(options, name, seed) for seed in seeds]))
    trained = [(name, arguments) for name in options.comparisons if (arguments := COMPARISONS[name])]
    commands = [f"    {name}: ferry train {arguments}" for name, arguments in trained]
    return "\n".join([*lines, "", *commands, f"    each with {options.more}", ""])


def _row(name: str, of_seeds: Sequence[Trial]) -> str:
    results = {
        sampling: [result for trial in of_seeds if (result := _result(trial, sampling))] for sampling in SAMPLINGS
    }
    success = [_success(results[sampling]) for sampling in SAMPLINGS]
    sel = [result["sel"] for result in results["greedy"]]
    steps = ", ".join(f"{trial.steps}" for trial in of_seeds)
    notes = [trial.folder / DIVERGED for trial in of_seeds if (trial.folder / DIVERGED).is_file()]
    remarks = "; ".join(path.read_text().strip() for path in notes)
    cells = [name, str(len(sel)), steps, *success, f"{sum(sel) / len(sel):.3f}" if sel else "-", remarks]
    return f"| {' | '.join(cells)} |"


def _success(results: Sequence[Mapping[str, Any]]) -> str:
    """Formats the success of each evaluation with its interval; of several, their mean first."""
    if not results:
        return "-"
    percent = [{name: 100 * each["simulated"][name] for name in ("success", "low", "high")} for each in results]
    cells = [f"{each['success']:.1f} [{each['low']:.1f}, {each['high']:.1f}]" for each in percent]
    mean = f"{sum(each['success'] for each in percent) / len(percent):.1f}: " if len(percent) > 1 else ""
    return mean + ", ".join(cells)

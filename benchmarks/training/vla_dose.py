"""Demonstrations against reinforcement: SFT and GRPO of LIBERO's tasks from few demonstrations, with several seeds.

    python -m benchmarks.training.vla_dose --out runs/vla_dose                 # 1, 5, 10 demonstrations x seeds 0, 1, 2
    python -m benchmarks.training.vla_dose --out runs/vla_dose --only-table    # the table of what is finished so far

For each seed: the scripted expert's demonstrations; for each number of them, SFT, GRPO, and both policies measured on
the same fresh held-out states, drawn wide and official. One core. Interrupted, it goes on where it was when started
again with the same options. OUT/log.txt has every command with its time, OUT/table.md the table, OUT/*/*.log what each
command said.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import tyro

from evaluation.statistics.pairs import paired
from evaluation.statistics.proportions import clustered_proportion

DEAD = "holds the policy"
"""End of what GRPO says when its groups taught nothing: a result, and no failure of the experiment."""


@dataclass(frozen=True)
class Dose:
    """Numbers of demonstrations x seeds, end to end."""

    out: Path = Path("runs/vla_dose")
    """Folder of the experiment."""
    suite: str = "libero_object"
    tasks: tuple[int, ...] = (9,)
    """Indices in the suite; one policy for all of them."""
    doses: tuple[int, ...] = (1, 5, 10)
    """Numbers of demonstrations of each task; a smaller dose has the first ones of a larger."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of demonstrations, SFT and GRPO."""
    spread_m: float = 0.01
    """Each object is moved by up to this from an official state, in GRPO and in the evaluation of wide states."""
    sft_updates: int = 1200
    grpo_steps: int = 46
    groups: int = 8
    group_size: int = 8
    states: int = 200
    """Held-out states of an evaluation, twice: wide and official."""
    states_seed: int = 21
    """Of these states: none was looked at during the training."""
    sft: str = ""
    """Further options of `ferry train sft`, as on its command line: --sft='--film --hold-out 5'."""
    grpo: str = ""
    """Further options of `ferry train grpo`."""
    core: int | None = None
    """Run on this core alone; by default the system chooses."""
    only_table: bool = False
    """Run nothing."""

    def cell(self, dose: int, seed: int) -> Path:
        """Folder of one dose and seed."""
        return self.out / f"dose{dose}_seed{seed}"


@dataclass(frozen=True)
class Stage:
    """A command that makes a file, in the folder of its log.

    Attributes:
        name: of the log and of the mark that it is finished.
        folder: of both.
        command: after the Python interpreter.
        resume: what goes on where it was interrupted, added when there is a checkpoint.
        checkpoint: see there.
    """

    name: str
    folder: Path
    command: tuple[str, ...]
    resume: tuple[str, ...] = ()
    checkpoint: Path | None = None

    @property
    def mark(self) -> Path:
        """Is there when the stage is finished; holds how it ended."""
        return self.folder / f"{self.name}.done"


def stages(args: Dose) -> Iterator[Stage]:
    """Yields everything to be done, in order."""
    for seed in args.seeds:
        yield _collection(args, seed)
    for dose, seed in product(args.doses, args.seeds):
        cell, common = args.cell(dose, seed), ("--seed", str(seed), "--threads", "1", "--device", "cpu")
        run = ("--run", str(cell))
        for name, more in (("sft", _sft(args, dose, seed)), ("grpo", _grpo(args))):
            command = ("-m", "ferry", "train", name, *run, *common, *more)
            yield Stage(name, cell, command, ("--resume",), cell / name / "last.pt")
        for name, (kind, spread_m) in product(("sft", "grpo"), _kinds(args).items()):
            yield _evaluation(args, cell, name, kind, spread_m)


def _kinds(args: Dose) -> dict[str, float]:
    """States by name, with how far objects are moved from the official ones."""
    return {"wide": args.spread_m, "official": 0.0}


def _on(args: Dose) -> tuple[str, ...]:
    return ("--tasks.suite", args.suite, "--tasks.indices", *map(str, args.tasks))


def _collection(args: Dose, seed: int) -> Stage:
    folder, tasks = args.out / f"demonstrations_seed{seed}", map(str, args.tasks)
    command = ("-m", "simulation.libero.collect", "--suite", args.suite, "--tasks", *tasks, "--seed", str(seed))
    most = ("--demonstrations", str(max(args.doses)), "--spread-m", str(args.spread_m), "--out", str(folder))
    return Stage(f"collect_{max(args.doses)}", folder, (*command, *most))


def _sft(args: Dose, dose: int, seed: int) -> tuple[str, ...]:
    data = str((args.out / f"demonstrations_seed{seed}").absolute())
    own = ("--data", data, "--each", str(dose), "--updates", str(args.sft_updates))
    return (*own, *shlex.split(args.sft))


def _grpo(args: Dose) -> tuple[str, ...]:
    sizes = {"steps": args.grpo_steps, "groups": args.groups, "group-size": args.group_size}
    own = [word for name, value in sizes.items() for word in (f"--{name}", str(value))]
    where = (*_on(args), "--tasks.spread-m", str(args.spread_m), "--workers", "1", "--evaluate-every", "0")
    return (*where, *own, *shlex.split(args.grpo))


def _evaluation(args: Dose, cell: Path, name: str, kind: str, spread_m: float) -> Stage:
    command = ("-m", "ferry", "train", "evaluate-vla", "--checkpoint", str(cell / name / "last.pt"), *_on(args))
    states = ("--tasks.spread-m", str(spread_m), "--states", str(args.states), "--states-seed", str(args.states_seed))
    where = ("--workers", "1", "--out", str(cell / f"{name}_{kind}.json"))
    return Stage(f"{name}_{kind}", cell, (*command, *states, *where))


def run(args: Dose, stage: Stage) -> None:
    """Runs a stage that is not finished; SystemExit names the log of one that failed."""
    if stage.mark.exists():
        return
    stage.folder.mkdir(parents=True, exist_ok=True)
    goes_on = stage.checkpoint is not None and stage.checkpoint.exists()
    command, log = (*stage.command, *(stage.resume if goes_on else ())), stage.folder / f"{stage.name}.log"
    note(args, f"begin {stage.folder.name}/{stage.name}: {shlex.join(['python', *command])}")
    began_s = time.monotonic()
    with log.open("a", encoding="utf-8") as file:
        done = subprocess.run([sys.executable, *command], stdout=file, stderr=subprocess.STDOUT, check=False)
    lasted = f"{time.monotonic() - began_s:.0f} s"
    dead = stage.name == "grpo" and DEAD in log.read_text(encoding="utf-8")[-2000:]
    if done.returncode and not dead:
        note(args, f"failed {stage.folder.name}/{stage.name} with status {done.returncode} after {lasted}")
        raise SystemExit(f"{log}: ended with status {done.returncode}; start again with the same options to go on")
    stage.mark.write_text(f"{'groups taught nothing' if dead else 'finished'} after {lasted}\n", encoding="utf-8")
    note(args, f"end {stage.folder.name}/{stage.name} after {lasted}" + (": groups taught nothing" if dead else ""))


def note(args: Dose, line: str) -> None:
    """Writes a line with its time to the log and prints it."""
    text = f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}"
    print(text, flush=True)
    with (args.out / "log.txt").open("a", encoding="utf-8") as file:
        file.write(text + "\n")


def outcomes(args: Dose, dose: int, seed: int, name: str, kind: str) -> list[bool]:
    """Outcomes of an evaluation by state; empty where it is not finished."""
    stage = _evaluation(args, args.cell(dose, seed), name, kind, 0.0)
    if not stage.mark.exists():
        return []
    content: dict[str, Any] = json.loads((stage.folder / f"{stage.name}.json").read_text(encoding="utf-8"))
    return [bool(one) for one in content["suites"][0]["outcomes"]]


def table(args: Dose) -> str:
    """Returns the table in Markdown: each dose and seed, and each dose with its seeds together."""
    lines = [
        f"{args.suite} {' '.join(map(str, args.tasks))}, {args.states} held-out states of seed {args.states_seed}, "
        "success with 95 % intervals. In rows of all seeds each state counts as one cluster of as many trials; that "
        "another seed would give another policy is not in the interval: compare the seeds.\n",
        "| demonstrations | seed | states | SFT | SFT + GRPO | difference | only SFT / only GRPO | p |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for dose, kind in product(args.doses, _kinds(args)):
        pairs = {
            seed: (outcomes(args, dose, seed, "sft", kind), outcomes(args, dose, seed, "grpo", kind))
            for seed in args.seeds
        }
        done = {seed: pair for seed, pair in pairs.items() if all(pair)}
        lines += [_row(dose, f"{seed}{_dead(args, dose, seed)}", kind, *pair) for seed, pair in done.items()]
        if len(done) > 1:
            sft, grpo = ([one for pair in done.values() for one in pair[part]] for part in (0, 1))
            lines.append(_row(dose, "all", kind, sft, grpo, [*range(len(sft) // len(done))] * len(done)))
    return "\n".join(lines) + "\n"


def _dead(args: Dose, dose: int, seed: int) -> str:
    mark = args.cell(dose, seed) / "grpo.done"
    return " (groups taught nothing)" if mark.exists() and "nothing" in mark.read_text(encoding="utf-8") else ""


def _row(
    dose: int, seed: str, kind: str, sft: Sequence[bool], grpo: Sequence[bool], states: Sequence[int] | None = None
) -> str:
    places = range(len(sft)) if states is None else states
    both, rates = paired(grpo, sft, clusters=places), (_rate(sft, places), _rate(grpo, places))
    found = both.difference
    gain = f"{100 * found.value:+.1f} [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"
    alone = f"{both.only_second} / {both.only_first}"
    return f"| {dose} | {seed} | {kind} | {rates[0]} | {rates[1]} | {gain} | {alone} | {both.p_value:.2g} |"


def _rate(outcomes: Sequence[bool], states: Sequence[int]) -> str:
    rate = clustered_proportion(outcomes, states)
    return f"{100 * rate.value:.1f} % [{100 * rate.low:.1f}, {100 * rate.high:.1f}]"


def expect_same(args: Dose) -> None:
    """Raises SystemExit where the folder holds an experiment of other options; keeps those of a new one."""
    own = {name: str(value) for name, value in asdict(args).items() if name not in ("out", "core", "only_table")}
    file = args.out / "options.json"
    if not file.exists():
        args.out.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(own, indent=1) + "\n", encoding="utf-8")
    before: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    other = [name for name in own if before.get(name) != own[name] and name not in ("doses", "seeds")]
    if other:
        raise SystemExit(f"{file}: got {other[0]} {before.get(other[0])}, expected {own[other[0]]}; take another --out")


def main() -> None:
    """Runs what is not finished, and writes the table after each evaluation."""
    args = tyro.cli(Dose, description=__doc__)
    expect_same(args)
    if args.core is not None:
        os.sched_setaffinity(0, {args.core})
    for stage in () if args.only_table else stages(args):
        run(args, stage)
        (args.out / "table.md").write_text(table(args), encoding="utf-8")
    print(table(args))


if __name__ == "__main__":
    main()

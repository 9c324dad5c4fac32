"""The verbs of `ferry`: what each does, what it needs, and whose `main` does it.

Each function imports its room only when it is called, so that `ferry --help` costs nothing and a robot's computer needs
nothing of what trains a policy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evaluation.plans.plan import Plan
    from evaluation.stages.trial_environment import TrialEnvironment


@dataclass(frozen=True)
class Verb:
    """One verb."""

    summary: str
    extra: str
    """The extras of pyproject.toml that bring what it needs."""
    run: Callable[[Sequence[str]], int | None]


def _train(argv: Sequence[str]) -> int | None:
    from training.train import main

    return main(argv)


def _export(argv: Sequence[str]) -> int | None:
    from training.export.bundle import main

    return main(argv)


def _import(argv: Sequence[str]) -> int | None:
    from training.released.main import main

    return main(argv)


def _serve(argv: Sequence[str]) -> int | None:
    from policy_server.serve import main

    return main(argv)


def _run(argv: Sequence[str]) -> int | None:
    from ferry.launcher.main import main

    return main(argv)


def _evaluate(argv: Sequence[str]) -> int | None:
    from evaluation.evaluate import main

    return main(argv, {"ros": _ros_environment})


def _ros_environment(plan: Plan) -> TrialEnvironment:
    from ferry_ros.ros_stage import ros_stage

    return ros_stage(plan)


def _report(argv: Sequence[str]) -> int | None:
    from evaluation.reporting.report import main

    return main(argv)


def _doctor(argv: Sequence[str]) -> int | None:
    from ferry.doctor.main import main

    return main(argv)


def _demo(argv: Sequence[str]) -> int | None:
    from ferry.demo import main

    return main(argv)


def _conform(argv: Sequence[str]) -> int | None:
    from ferry.conform import main

    return main(argv)


def _fake(argv: Sequence[str]) -> int | None:
    from ferry.fakes import main

    return main(argv)


def _stop(argv: Sequence[str]) -> int | None:
    from ferry.stop import main

    return main(argv)


VERBS: Mapping[str, Verb] = {
    "train": Verb("clone an expert, or fine-tune what was cloned, in simulated houses", "train", _train),
    "export": Verb("write a checkpoint as a policy bundle: ONNX graphs and a manifest", "train", _export),
    "import": Verb("write a checkpoint that FLaRe or SPOC released as a policy bundle", "train", _import),
    "serve": Verb("answer observations with actions over REST, from a policy bundle", "server", _serve),
    "run": Verb("run a launch file: a robot or its twin, with the policy, over ROS 2", "robot,ros", _run),
    "evaluate": Verb("run an evaluation plan: tasks, houses, policies", "sim,server", _evaluate),
    "report": Verb("write what was evaluated as one page: HTML, JSON and Markdown", "report", _report),
    "doctor": Verb("check this machine, or a robot before a session, and say what to mend", "robot", _doctor),
    "conform": Verb("try with small motions whether a robot keeps the rules of every robot", "robot", _conform),
    "fake": Verb("run a fake of a robot's hardware, for its real driver", "robot", _fake),
    "stop": Verb("a terminal whose every key stops the robot", "robot,ros", _stop),
    "demo": Verb("the whole line: server, twin and policy over ROS 2, then a report", "sim,server,ros,report", _demo),
}

"""`ferry train STAGE`: the stages of training a policy, each resumable and with its own options."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from training.errors import ConfigError


def _perception(argv: Sequence[str]) -> int:
    from training.perception.pretrain import main

    return main(argv)


def _collect(argv: Sequence[str]) -> int:
    from training.imitation.collect import main

    return main(argv)


def _bc(argv: Sequence[str]) -> int:
    from training.imitation.bc import main

    return main(argv)


def _dagger(argv: Sequence[str]) -> int:
    from training.imitation.dagger import main

    return main(argv)


def _ppo(argv: Sequence[str]) -> int:
    from training.rl.ppo import main

    return main(argv)


def _sac(argv: Sequence[str]) -> int:
    from training.rl.sac import main

    return main(argv)


def _jsrl(argv: Sequence[str]) -> int:
    from training.rl.jsrl import main

    return main(argv)


def _pirlnav(argv: Sequence[str]) -> int:
    from training.rl.pirlnav import main

    return main(argv)


def _sft(argv: Sequence[str]) -> int:
    from training.vla.sft.sft import main

    return main(argv)


def _grpo(argv: Sequence[str]) -> int:
    from training.vla.grpo.grpo import main

    return main(argv)


def _evaluate_vla(argv: Sequence[str]) -> int:
    from training.vla.evaluate import main

    return main(argv)


def _ablate(argv: Sequence[str]) -> int:
    from training.ablations import main

    return main(argv)


def _evaluate(argv: Sequence[str]) -> int:
    from training.closed_loop.evaluate import main

    return main(argv)


STAGES: Mapping[str, tuple[str, Callable[[Sequence[str]], int]]] = {
    "perception": ("pre-train the mini's image encoder on the simulator's labels", _perception),
    "collect": ("collect expert demonstrations as features of the frozen image encoder", _collect),
    "bc": ("clone the expert's decisions (behaviour cloning, as in SPOC)", _bc),
    "dagger": ("collect episodes in which the clone acts and the expert labels", _dagger),
    "ppo": ("fine-tune the clone by reinforcement learning (PPO, as in FLaRe)", _ppo),
    "sac": ("fine-tune the clone by soft actor-critic instead of PPO, for comparison", _sac),
    "jsrl": ("train from scratch in episodes that the clone begins (JSRL), for comparison", _jsrl),
    "pirlnav": ("fine-tune the clone with PIRLNav's schedule, for comparison", _pirlnav),
    "ablate": ("run these comparisons in sequence and make their table", _ablate),
    "sft": ("train a vision-language-action policy on demonstrations (as in SimpleVLA-RL)", _sft),
    "grpo": ("fine-tune it by its own success (GRPO, as in SimpleVLA-RL)", _grpo),
    "evaluate-vla": ("measure such a policy on LIBERO's held-out states and LIBERO-PRO's perturbations", _evaluate_vla),
    "evaluate": ("measure closed-loop success in simulated houses not used in training", _evaluate),
}


def usage() -> str:
    """Returns the text of `ferry train --help`."""
    stages = "\n".join(f"  {name:<14}{summary}" for name, (summary, _) in STAGES.items())
    return f"usage: ferry train STAGE ...\n\n{stages}\n\n`ferry train STAGE --help` lists a stage's options."


def main(argv: Sequence[str]) -> int:
    """Runs one stage.

    Raises:
        ConfigError: the stage is unknown.
    """
    if not argv or argv[0] in ("-h", "--help"):
        print(usage())
        return 0
    if argv[0] not in STAGES:
        raise ConfigError("stage", repr(argv[0]), f"one of {', '.join(STAGES)}")
    return STAGES[argv[0]][1](argv[1:])

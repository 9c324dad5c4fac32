"""Error rates, power and coverage of the statistics by simulation: the full figures of docs/statistics.md.

    python -m benchmarks.trials.error_rates --output build/error_rates.jsonl

Every line is one setting with its number of simulated evaluations, its seed, and a rate with its 95 % interval.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from evaluation.statistics.agreement import agreement
from evaluation.statistics.arms import rank
from evaluation.statistics.betting import bounded_mean
from evaluation.statistics.pairs import tango
from evaluation.statistics.power import Effect, anytime_length, effect_of, mcnemar_power, pairs_needed, power
from evaluation.statistics.prediction_powered import joined, rectified
from evaluation.statistics.proportions import clopper_pearson, clustered_proportion, proportion, wilson
from evaluation.statistics.rules import BETTER, Rule, RuleName, decide

RULES: tuple[RuleName, ...] = ("fixed", "group_sequential", "anytime")


@dataclass(frozen=True)
class Options:
    """Simulates everything."""

    simulations: int = 1000
    """Simulated evaluations of each setting; half as many where one takes long."""
    seed: int = 0
    only: str = ""
    """Only parts whose name contains this."""
    output: Path | None = None
    """File for the lines, beside the terminal."""


def main(options: Options) -> None:
    """Runs the parts and prints a line for each setting."""
    lines = []
    for part in (_intervals, _clusters, _plans, _rules, _several, _joined, _judges):
        if options.only not in part.__name__:
            continue
        for line in part(options):
            lines.append({"part": part.__name__.strip("_"), **line})
            print(json.dumps(lines[-1]), flush=True)
    if options.output is not None:
        options.output.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def _rate(count: int, n: int) -> dict[str, Any]:
    found = clopper_pearson(count, n)
    return {"rate": round(found.value, 4), "low": round(found.low, 4), "high": round(found.high, 4), "n": n}


def _intervals(_options: Options) -> Iterator[dict[str, Any]]:
    """Computes the exact coverage of the intervals of a rate, at 197 rates."""
    from evaluation.statistics.binomial import binomial

    rates = np.linspace(0.01, 0.99, 197)
    for n in (10, 18, 50, 100, 200):
        for method in (wilson, clopper_pearson, proportion):
            found = [method(k, n) for k in range(n + 1)]
            low, high = (np.array([getattr(one, side) for one in found])[:, None] for side in ("low", "high"))
            covered = (binomial(n, rates) * ((low <= rates) & (rates <= high))).sum(axis=0)
            width = round(float((high - low).mean()), 3)
            yield {"method": method.__name__, "trials": n, "least": round(float(covered.min()), 3), "width": width}


def _clusters(options: Options) -> Iterator[dict[str, Any]]:
    """Simulates trials that are repeated at places of different difficulty."""
    rng = np.random.default_rng(options.seed)
    for rate, alike, places, repeats in ((0.6, 0.3, 20, 5), (0.6, 0.0, 20, 5), (0.9, 0.3, 20, 5), (0.6, 0.6, 10, 3)):
        hits = {"clustered": 0, "as if independent": 0}
        for _ in range(options.simulations):
            spread = 1 / alike - 1 if alike else 0.0
            own = rng.beta(rate * spread, (1 - rate) * spread, places) if alike else np.full(places, rate)
            outcomes = (rng.random((places, repeats)) < own[:, None]).ravel().tolist()
            index = np.repeat(np.arange(places), repeats).tolist()
            both = clustered_proportion(outcomes, index), proportion(sum(outcomes), len(outcomes))
            for name, one in zip(hits, both, strict=True):
                hits[name] += one.low <= rate <= one.high
        for name, count in hits.items():
            setting = {"rate of success": rate, "correlation": alike, "places": places, "repeats": repeats}
            yield {"interval": name, **setting, "coverage": _rate(count, options.simulations)}


def _plans(_options: Options) -> Iterator[dict[str, Any]]:
    """Computes the planned pairs of each rule, its power, its exact error rate and its expected length."""
    for smallest in (0.5, 0.3, 0.2, 0.15):
        effect = effect_of(smallest)
        for name in RULES:
            rule = Rule(name, 1, smallest=smallest, win_rate=effect.win_rate)
            rule = replace(rule, pairs=pairs_needed(rule, effect, 0.8))
            null = Effect(effect.discordant / 2, effect.discordant / 2)
            length = anytime_length(effect, rule.pairs, 0.05, rule.stake) if name == "anytime" else None
            figures = {
                "pairs": rule.pairs,
                "power": round(power(rule, effect), 3),
                "error": round(power(rule, null), 4),
            }
            yield {"rule": name, "smallest": smallest, **figures, "expected pairs": length and round(length, 1)}


def _draw(effect: Effect, pairs: int, rng: np.random.Generator) -> list[float]:
    chances = [effect.better, effect.worse, 1 - effect.discordant]
    found: list[float] = rng.choice(np.array([1.0, -1.0, 0.0]), p=chances, size=pairs).tolist()
    return found


def _rules(options: Options) -> Iterator[dict[str, Any]]:
    """Simulates whole evaluations under no difference and under the smallest one."""
    planned = effect_of(0.3)
    effects = {"none": Effect(0.25, 0.25), "none, few discordant": Effect(0.1, 0.1), "smallest": planned}
    for name in RULES:
        rule = Rule(name, 60, smallest=0.3, win_rate=planned.win_rate)
        for label, effect in effects.items():
            rng = np.random.default_rng(options.seed)
            made = [decide(rule, _draw(effect, rule.pairs, rng)) for _ in range(options.simulations)]
            shown = sum(one.verdict in BETTER for one in made)
            yield {"rule": name, "pairs": 60, "effect": label, "shown": _rate(shown, options.simulations)}
    rng, missed = np.random.default_rng(options.seed), 0
    for _ in range(options.simulations):
        made_pairs = _draw(planned, 50, rng)
        won, lost = made_pairs.count(1.0), made_pairs.count(-1.0)
        found = tango(won, lost, 50)
        missed += not found.low <= 0.3 <= found.high
    yield {"interval": "Tango", "pairs": 50, "coverage": _rate(options.simulations - missed, options.simulations)}
    yield {"test": "McNemar", "pairs": 50, "exact error": round(mcnemar_power(Effect(0.25, 0.25), 50, 0.05), 4)}


def _several(options: Options) -> Iterator[dict[str, Any]]:
    """Simulates four equally good arms, and four of which one is better by 0.3."""
    for name in RULES:
        for label, rates in (("equal", (0.5,) * 4), ("one better", (0.8, 0.5, 0.5, 0.5))):
            rng, shown, best = np.random.default_rng(options.seed), 0, 0
            count = options.simulations // 2
            rule = Rule(name, 60, smallest=0.3, win_rate=effect_of(0.3).win_rate)
            for _ in range(count):
                outcomes = rng.random((4, 60)) < np.array(rates)[:, None]
                scores = {
                    str(arm): {str(index): float(one) for index, one in enumerate(row)}
                    for arm, row in enumerate(outcomes)
                }
                found = rank(rule, scores)
                wrong = [one for one in found.comparisons if one.decision.verdict in BETTER and one.first != "0"]
                shown += bool(wrong if label == "one better" else len(found.unbeaten) < 4)
                best += found.best == "0"
            yield {"rule": name, "arms": label, "any wrong": _rate(shown, count), "best found": _rate(best, count)}


def _joined(options: Options) -> Iterator[dict[str, Any]]:
    """Simulates real trials with a twin's: coverage and mean width of each interval."""
    methods: dict[str, Callable[[list[bool], list[bool], list[bool]], Any]] = {
        "plain (Wilson, Clopper-Pearson)": lambda real, _twin, _extra: proportion(sum(real), len(real)),
        "plain, betting": lambda real, _twin, _extra: bounded_mean([float(one) for one in real]),
        "joined, SureSim": rectified,
        "joined, stratified": lambda real, twin, extra: joined(real, twin, extra).joined,
    }
    for n, many in ((20, 1000), (50, 1000), (50, 10_000), (100, 10_000)):
        for rate, twin, correlation in (
            (0.7, 0.8, 0.0),
            (0.7, 0.8, 0.6),
            (0.5, 0.5, 0.6),
            (0.5, 0.5, 0.8),
            (0.9, 0.9, 0.8),
        ):
            rng, count = np.random.default_rng(options.seed), options.simulations // 2
            both = rate * twin + correlation * np.sqrt(rate * (1 - rate) * twin * (1 - twin))
            chances = [both, rate - both, twin - both, 1 - rate - twin + both]
            found: dict[str, list[tuple[bool, float]]] = {name: [] for name in methods}
            for _ in range(count):
                kinds = rng.choice(4, size=n, p=chances)
                real, predicted = (kinds < 2).tolist(), np.isin(kinds, (0, 2)).tolist()
                extra = (rng.random(many) < twin).tolist()
                for name, method in methods.items():
                    one = method(real, predicted, extra)
                    found[name].append((one.low <= rate <= one.high, one.high - one.low))
            setting = {"real": n, "twin": many, "rate of success": rate, "twin's": twin, "correlation": correlation}
            for name, rows in found.items():
                width = round(float(np.mean([width for _, width in rows])), 3)
                yield {
                    "interval": name,
                    **setting,
                    "width": width,
                    "coverage": _rate(sum(hit for hit, _ in rows), count),
                }


def _judges(options: Options) -> Iterator[dict[str, Any]]:
    """Simulates two judges with known chances of each pair of answers: coverage of kappa's interval."""
    rng = np.random.default_rng(options.seed)
    pairs = np.array([(True, True), (True, False), (False, True), (False, False)])
    for chances in ((0.5, 0.08, 0.07, 0.35), (0.5, 0.025, 0.025, 0.45), (0.85, 0.03, 0.03, 0.09), (0.4, 0.2, 0.2, 0.2)):
        first, second = chances[0] + chances[1], chances[0] + chances[2]
        by_chance = first * second + (1 - first) * (1 - second)
        kappa = (chances[0] + chances[3] - by_chance) / (1 - by_chance)
        for trials in (20, 60, 200):
            drawn = (pairs[rng.choice(4, trials, p=chances)] for _ in range(options.simulations))
            found = [agreement(one[:, 0].tolist(), one[:, 1].tolist()).kappa for one in drawn]
            known = [one for one in found if not np.isnan(one.value)]
            covered = _rate(sum(one.low <= kappa <= one.high for one in known), len(known))
            yield {
                "kappa": round(kappa, 2),
                "trials": trials,
                "undefined": len(found) - len(known),
                "coverage": covered,
            }


if __name__ == "__main__":
    main(tyro.cli(Options))

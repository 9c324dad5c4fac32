"""Small good robots, and the same with one fault each: what a conformance suite must notice."""

from __future__ import annotations

from bad_robots.cart import OPTIONS, Cart
from bad_robots.commands import (
    ClipsSilently,
    ExecutesNaN,
    MovesHalf,
    OnlySaysSo,
    RaisesBeyondLimits,
    RefusesAndMoves,
    ReturnsEarly,
    SaysClipped,
    ShortensLongSteps,
    TellsAnotherCommand,
    TurnsClockwise,
)
from bad_robots.gantry import Gantry, Jumps, LeavesItsWorkspace, TakesStepsForHalf
from bad_robots.lifecycle import (
    AnswersLate,
    ConnectsOnce,
    FailsToStopUnconnected,
    IsUnwell,
    LeavesWithoutStop,
    WorksUnconnected,
)
from bad_robots.motions import DragsTheWrist, DropsRows, IgnoresItsOptions, PullsOpen, SlowOnPaper, Speeds
from bad_robots.observations import NeverObserves, RepeatsStamps, SeesInDouble, StampsWallTime
from bad_robots.stops import HidesTheStop, IgnoresStop, OnlySaysItStopped, StopsForGood

__all__ = [
    "AnswersLate",
    "Cart",
    "ClipsSilently",
    "ConnectsOnce",
    "DragsTheWrist",
    "DropsRows",
    "ExecutesNaN",
    "FailsToStopUnconnected",
    "Gantry",
    "HidesTheStop",
    "IgnoresItsOptions",
    "IgnoresStop",
    "IsUnwell",
    "Jumps",
    "LeavesItsWorkspace",
    "LeavesWithoutStop",
    "MovesHalf",
    "NeverObserves",
    "OPTIONS",
    "OnlySaysItStopped",
    "OnlySaysSo",
    "PullsOpen",
    "RaisesBeyondLimits",
    "RefusesAndMoves",
    "RepeatsStamps",
    "ReturnsEarly",
    "SaysClipped",
    "SeesInDouble",
    "ShortensLongSteps",
    "SlowOnPaper",
    "Speeds",
    "StampsWallTime",
    "StopsForGood",
    "TakesStepsForHalf",
    "TellsAnotherCommand",
    "TurnsClockwise",
    "WorksUnconnected",
]

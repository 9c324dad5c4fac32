"""Registry of the simulated robots."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from robots.errors import SpecError
from simulation.twins.house_twin import StretchTwin, Twin, TwinOptions
from simulation.twins.locobot import LocobotTwin

TWINS: Mapping[str, Callable[[TwinOptions], Twin]] = MappingProxyType(
    {"stretch_re1": StretchTwin, "locobot": LocobotTwin}
)


def make_twin(body: str, options: TwinOptions = TwinOptions()) -> Twin:  # noqa: B008 - frozen
    """Makes the twin of the robot called `body`; SpecError lists the known ones."""
    if body not in TWINS:
        raise SpecError("body of the twin", repr(body), f"one of {', '.join(TWINS)}")
    return TWINS[body](options)

"""Synchronizes images and state into observations: one is complete when every message of its stamp has arrived."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from robots.embodiment import Embodiment
from robots.observation import Observation
from robots.spec import F32Vector, U8Image


class ObservationSync:
    """Matches images and states with exactly equal stamps.

    Args:
        body: an observation needs an image of each of its cameras, and a state.
        remembered: maximum number of incomplete stamps; older ones are dropped.
    """

    def __init__(self, body: Embodiment, remembered: int = 4) -> None:
        self._body, self._remembered = body, remembered
        self._images: OrderedDict[int, dict[str, U8Image]] = OrderedDict()
        self._states: OrderedDict[int, dict[str, F32Vector]] = OrderedDict()

    def add_image(self, stamp_ns: int, camera: str, image: U8Image) -> Observation | None:
        """Adds a camera's (H, W, 3) uint8 image; SpecError unless it fits its spec. Returns a completed observation."""
        spec = next(spec for spec in self._body.cameras if spec.name == camera)
        spec.check(image)
        self._images.setdefault(stamp_ns, {})[camera] = image
        return self._complete(stamp_ns)

    def add_state(self, stamp_ns: int, state: Mapping[str, F32Vector]) -> Observation | None:
        """Adds the robot's state. Returns a completed observation."""
        self._states[stamp_ns] = dict(state)
        return self._complete(stamp_ns)

    def _complete(self, stamp_ns: int) -> Observation | None:
        images = self._images.get(stamp_ns, {})
        if len(images) < len(self._body.cameras) or stamp_ns not in self._states:
            self._drop_oldest()
            return None
        self._images.pop(stamp_ns, None)  # a robot may have no cameras
        return Observation(stamp_ns, images, self._states.pop(stamp_ns))

    def _drop_oldest(self) -> None:
        for parts in (self._images, self._states):
            while len(parts) > self._remembered:
                parts.popitem(last=False)

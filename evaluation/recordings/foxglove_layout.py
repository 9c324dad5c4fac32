"""Layout of Foxglove for a graph: cameras, robot, decisions, deadline, stops; for recordings and the live view."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def layout(namespace: str, cameras: Sequence[str]) -> dict[str, Any]:
    """The layout for the graph in `namespace` with these cameras, as JSON values to import in Foxglove."""
    top = f"/{namespace.strip('/')}"
    view = f"{top}/decision_view"
    panels: dict[str, Any] = {
        f"Image!{camera}": {
            "imageMode": {
                "imageTopic": f"{top}/camera/{camera}/image_raw",
                "calibrationTopic": f"{top}/camera/{camera}/camera_info",
            }
        }
        for camera in cameras
    }
    images = list(panels)
    panels |= {
        "3D!robot": {
            "followTf": "base_link",
            "followMode": "follow-pose",
            "layers": {
                "robot": {
                    "layerId": "foxglove.Urdf",
                    "instanceId": "robot",
                    "label": "robot",
                    "sourceType": "topic",
                    "topic": f"{top}/robot_description",
                    "visible": True,
                },
                "grid": {"layerId": "foxglove.Grid", "instanceId": "grid", "label": "grid", "visible": True},
            },
            "topics": {},
        },
        "Plot!deadline": _plot("seconds left to the deadline", [f"{view}.deadline_left_s", f"{view}.timing_s.decide"]),
        "StateTransitions!action": {
            "paths": [_path(f"{view}.{name}") for name in ("action", "executed", "late", "why_not")],
            "isSynced": True,
        },
        "RawMessages!probabilities": {"topicPath": f"{view}.probabilities", "expansion": "all"},
        "DiagnosticSummary!health": {"topicToRender": "/diagnostics", "sortByLevel": True},
        "RawMessages!stopped": {"topicPath": f"{top}/stopped", "expansion": "all"},
    }
    numbers = _stack("row", ["RawMessages!probabilities", "DiagnosticSummary!health", "RawMessages!stopped"])
    return {
        "configById": panels,
        "globalVariables": {},
        "userNodes": {},
        "playbackConfig": {"speed": 1},
        "layout": {
            "direction": "column",
            "first": _stack("row", [*images, "3D!robot"]),
            "second": _split("column", _stack("row", ["StateTransitions!action", "Plot!deadline"]), numbers, 45),
            "splitPercentage": 50,
        },
    }


def _path(value: str) -> dict[str, Any]:
    return {"value": value, "enabled": True, "timestampMethod": "receiveTime"}


def _plot(title: str, values: Sequence[str]) -> dict[str, Any]:
    return {
        "title": title,
        "paths": [_path(value) for value in values],
        "showLegend": True,
        "isSynced": True,
        "xAxisVal": "timestamp",
    }


def _stack(direction: str, panels: Sequence[Any]) -> Any:
    """The panels beside one another, all of one size."""
    if len(panels) == 1:
        return panels[0]
    return _split(direction, panels[0], _stack(direction, panels[1:]), round(100 / len(panels)))


def _split(direction: str, first: Any, second: Any, percentage: int) -> dict[str, Any]:
    return {"direction": direction, "first": first, "second": second, "splitPercentage": percentage}

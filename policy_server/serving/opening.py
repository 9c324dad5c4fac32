"""Reads the request that opens a session."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from policy_server.serving.schema import OpenSession
from policy_server.wire.messages import invalid, unpack_json


def read_opening(data: bytes) -> OpenSession:
    """Returns the request in a JSON body; WireError names the first field that is missing, unknown or wrong."""
    try:
        return OpenSession.model_validate(unpack_json(data))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        codes = {"missing": "missing_field", "extra_forbidden": "unknown_field"}
        got = "nothing" if first["type"] == "missing" else f"{first['input']!r:.60}"
        raise invalid(where, got, _expected(where, first), code=codes.get(first["type"], "invalid")) from error


def _expected(where: str, error: Mapping[str, Any]) -> str:
    """Returns what a field of OpenSession should have been, in words."""
    fields = OpenSession.model_fields
    if error["type"] == "extra_forbidden":
        return f"only {', '.join(fields)}"
    if error["type"] == "missing" and where in fields:
        return f"{fields[where].description}"
    return str(error["msg"]).removeprefix("Input should be ").replace("valid dictionary", "JSON object")

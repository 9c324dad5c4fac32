"""Errors of the policy server, its bundles and its client.

    PolicyError
    ├── BundleError        a bundle is missing, truncated, corrupt or does not match its manifest
    │   └── BundleChanged  a server serves another bundle than before
    ├── WireError          a request or reply cannot be read, or does not fit the session's specs
    ├── SessionError       a session is unknown, expired, busy, or past its horizon
    ├── NotFinite          the network answered with NaN or infinity
    ├── OutOfRange         the network answered with a target far beyond its range
    ├── Refused            the server refused a request; has its code, message, details and status
    └── Unreachable        no answer within the time limit

Every error has a `code` that programs can rely on; the server sends {"error": {"code", "message", "details"}}.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class PolicyError(Exception):
    """Base of every error raised by `policy_server`."""

    code = "policy_error"
    status = 500
    """HTTP status the server answers with."""

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        status: int | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code or type(self).code
        self.status = status or type(self).status
        self.details: dict[str, Any] = dict(details or {})

    def to_json(self) -> dict[str, Any]:
        """Returns the server's reply: {"error": {"code", "message", "details"}}."""
        return {"error": {"code": self.code, "message": str(self), "details": self.details}}


class BundleError(PolicyError):
    """A bundle is missing, truncated, corrupt or does not match its manifest."""

    code = "bundle"


class BundleChanged(BundleError):
    """A server serves another bundle than the one that was described: its actions or horizon may differ."""

    code = "bundle_changed"


class WireError(PolicyError):
    """A message cannot be read or does not fit its spec."""

    code = "bad_request"
    status = 400


class SessionError(PolicyError):
    """A session is unknown, expired, busy, or past its horizon."""

    code = "session"
    status = 404


class NotFinite(PolicyError):
    """The network answered with NaN or infinity where the robot has an action."""

    code = "not_finite"


class OutOfRange(PolicyError):
    """The network answered with a target that is farther beyond its range than the robot clips."""

    code = "out_of_range"


class Refused(PolicyError):
    """The server refused: `code`, message, `details` and `status` are the server's."""

    code = "refused"


class Unreachable(PolicyError):
    """The server did not answer within the time limit."""

    code = "unreachable"

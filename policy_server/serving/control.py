"""The server's second door, for its operator alone: a Unix socket in a folder that no other user can enter.

What is asked there names folders of this machine and changes what robots do. A socket of the file system has no
address that a proxy, a browser or another computer could reach, and its owner needs no password.
"""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from policy_server.serving.app import Api
from policy_server.serving.payload import Payload
from policy_server.serving.refusals import add_error_handlers
from policy_server.wire.control import POLICIES, SWAP
from policy_server.wire.messages import check_names, invalid, unpack_json

MAX_PATH = 100  # bytes; Linux takes 107


def listen_control(path: Path) -> socket.socket:
    """Returns a listening socket at `path` that this user alone can open.

    Raises:
        OSError: another server listens there, or the folder belongs to someone else or is open to others.
    """
    if len(os.fsencode(path)) > MAX_PATH:
        raise OSError(f"{path}: longer than {MAX_PATH} bytes; say a shorter one with --control")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    info = path.parent.lstat()
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.getuid() or stat.S_IMODE(info.st_mode) & 0o077:
        raise OSError(f"{path.parent}: others may enter it; expected a folder of this user with mode 700")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.exists():
            remove_stale(path)
        listener.bind(str(path))
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener


def remove_stale(path: Path) -> None:
    """Removes the socket at `path` if nobody listens there any more; OSError if somebody does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:  # the one that listened there is gone
            path.unlink(missing_ok=True)
            return
    raise OSError(f"{path}: another server listens there")


class Doors:
    """One ASGI application for both sockets: what comes through `path` goes to `control`, everything else to `app`."""

    def __init__(self, app: ASGIApp, control: ASGIApp, path: Path) -> None:
        self._app, self._control, self._door = app, control, (str(path), None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        inside = scope["type"] != "lifespan" and tuple(scope.get("server") or ()) == self._door
        await (self._control if inside else self._app)(scope, receive, send)


def create_control(api: Api) -> FastAPI:
    """Returns the application behind the socket: POST /swap and GET /policies."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    add_error_handlers(app, api.metrics)
    payload = Payload(api.service.options.max_body_bytes)

    async def swap(request: Request) -> JSONResponse:
        fields = unpack_json(await payload.json(request))
        check_names("swap", fields, required={"bundle"}, optional={"policy", "other_spec"})
        folder, policy = _folder(fields["bundle"]), _name(fields.get("policy"))
        return JSONResponse(await api.swaps.swap(folder, policy=policy, other_spec=_flag(fields)))

    app.add_api_route(SWAP, swap, methods=["POST"], response_model=None)
    app.add_api_route(POLICIES, api.policies, response_model=None)
    return app


def _folder(value: Any) -> Path:
    if not isinstance(value, str) or not Path(value).is_absolute():
        raise invalid("bundle", f"{value!r:.60}", "the absolute path of a folder or zip on the server's machine")
    return Path(value)


def _name(value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise invalid("policy", f"{value!r:.60}", "the name of a policy, or null")
    return value


def _flag(fields: dict[str, Any]) -> bool:
    value = fields.get("other_spec", False)
    if not isinstance(value, bool):
        raise invalid("other_spec", f"{value!r:.60}", "true or false")
    return value

"""Policies by address: the folder or zip of a bundle, or the URL of a server."""

from __future__ import annotations

from pathlib import Path

from policy_server.client import PolicyClient
from policy_server.errors import PolicyError
from policy_server.foreign.connect import connect, is_foreign
from policy_server.policy import Policy


def open_policy(
    address: str | Path, *, token: str | None = None, timeout_s: float | None = None, threads: int = 0
) -> Policy:
    """Opens the policy at `address`: the folder or zip of a bundle, or the URL of a server.

    A Ferry server has http://host:port or https://, and ?policy=NAME where it has several. Somebody else's has the name
    of its protocol and a file that says what its policy takes: openpi://host:port?contract=FILE, roboarena://,
    openvla://, gr00t://.

    `token` and `timeout_s` are for a server: its bearer token, and the time limit of a decision [s], by default the
    policy's control period. `threads` is for a bundle: threads of one inference, 0 for one per core.

    Raises:
        BundleError: no such bundle, or a bad one. A server is asked later, by `describe` or `open`.
        ContractError: somebody else's server without a contract, or with a wrong one.
        PolicyError: "address", a URL of an unknown scheme.
    """
    scheme, is_url, _ = str(address).partition("://")
    if scheme in ("http", "https"):
        return PolicyClient(str(address), token=token, timeout_s=timeout_s)
    if is_foreign(str(address)):
        return connect(str(address), token=token, timeout_s=timeout_s)
    if is_url:
        known = "http, https, openpi, roboarena, openvla, gr00t"
        message = f"policy: got address {address}, expected the folder of a bundle or a URL with one of {known}"
        raise PolicyError(message, code="address")
    from policy_server.bundle import PolicyBundle  # onnxruntime only where a policy runs in this process
    from policy_server.onnx_policy import OnnxPolicy

    bundle = PolicyBundle.load(Path(address), threads=threads)
    bundle.warm_up()
    return OnnxPolicy(bundle)

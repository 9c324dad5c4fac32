"""The documentation as a site: it builds without a warning, and every error code has a line in it."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

from ferry.launcher.lookup import REPOSITORY

PAGE = (REPOSITORY / "docs" / "troubleshooting.md").read_text(encoding="utf-8")


def codes() -> set[str]:
    """Codes of errors in policy_server: keyword `code=` and class attribute `code`."""
    found = set()
    for path in (REPOSITORY / "policy_server").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "code":
                value: ast.expr | None = node.value
            elif isinstance(node, ast.Assign) and any(isinstance(x, ast.Name) and x.id == "code" for x in node.targets):
                value = node.value
            else:
                continue
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                found.add(value.value)
    return found


def test_every_error_code_of_the_server_has_a_line() -> None:
    assert len(codes()) > 20
    explained = {name for row in PAGE.splitlines() if row.startswith("|") for name in re.findall(r"`(\w+)`", row)}
    assert codes() <= explained


def test_every_refusal_that_the_safety_page_lists_has_a_line() -> None:
    safety = (REPOSITORY / "docs" / "safety.md").read_text(encoding="utf-8")
    table = safety.partition("| code | cause |")[2].partition("\n\n")[0]
    listed = {name for row in table.splitlines()[2:] for name in re.findall(r"`([a-z ]+)`", row.split("|")[1])}
    assert len(listed) > 8
    assert listed <= set(re.findall(r"`([a-z ]+)`", PAGE))


def test_the_site_builds_and_no_link_leads_nowhere(tmp_path: Path) -> None:
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "PolicyClient" in (tmp_path / "api" / "policy_server.html").read_text(encoding="utf-8")

"""A small ROS workspace: one package with real executables, in sources and as colcon would have built it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ferry.launcher.lookup import Lookup
from ferry.launcher.plan import Process, plan

SETUP_PY = """
setup(name="ferry_try", entry_points={"console_scripts": ["echo_node = ferry_try.echo_node:main"]})
"""


@dataclass(frozen=True)
class Workspace:
    """A folder of sources with one package, `ferry_try`, and a place for launch files."""

    root: Path

    @property
    def lookup(self) -> Lookup:
        return Lookup((), self.root / "src")

    def write(self, name: str, body: str) -> Path:
        file = self.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"<launch>\n{body}\n</launch>\n")
        return file

    def plan(self, body: str, **arguments: str) -> tuple[Process, ...]:
        return plan(self.write("a.launch.xml", body), arguments, self.lookup)

    def colcon_prefix(self) -> Path:
        prefix = self.root / "install"
        marker = prefix / "share" / "ament_index" / "resource_index" / "packages" / "ferry_try"
        executable = prefix / "lib" / "ferry_try" / "echo_node"
        for folder in (marker.parent, executable.parent, prefix / "share" / "ferry_try"):
            folder.mkdir(parents=True)
        marker.touch()
        executable.write_text("#!/bin/sh\n")
        executable.chmod(0o755)
        return prefix


def make_workspace(root: Path) -> Workspace:
    """Writes the sources of the package under a folder."""
    package = root / "src" / "ferry_try"
    (package / "ferry_try").mkdir(parents=True)
    (package / "package.xml").write_text("<package/>")
    (package / "setup.py").write_text(SETUP_PY)
    (package / "ferry_try" / "__init__.py").touch()
    (package / "ferry_try" / "echo_node.py").write_text("import sys\nprint('echo', *sys.argv[1:])\n")
    (package / "config.yaml").write_text("/**:\n  ros__parameters:\n    x: 1\n")
    return Workspace(root)

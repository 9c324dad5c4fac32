"""Builds a message package from definitions with ROS 2's own generators and a C++ compiler; no CMake.

`python -m ferry_ros.interfaces.build PACKAGE FOLDER` writes FOLDER/out/PACKAGE, a Python package. It does what
rosidl_default_generators has CMake do, for Python and for the default RMW alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from ferry_ros.interfaces.definitions import DEFINITIONS

SUPPORTS = ("rosidl_typesupport_fastrtps_c", "rosidl_typesupport_introspection_c")
"""Type supports that rmw_fastrtps_cpp needs."""

DEPENDENCIES = ("service_msgs", "builtin_interfaces", "action_msgs", "unique_identifier_msgs")
"""Interfaces that services and actions depend on."""

PRELOAD = '''\
"""Built from its definitions. The libraries are loaded here, so that they are found by their names afterwards."""

import ctypes
from pathlib import Path

for _name in {names!r}:
    ctypes.CDLL(str(Path(__file__).parent / _name), mode=ctypes.RTLD_GLOBAL)
'''


class Builder:
    """Builds `package` in `folder`.

    Attributes:
        out: the finished Python package.
    """

    def __init__(self, package: str, folder: Path) -> None:
        self._package, self._folder = package, folder
        self._prefix = Path(sys.prefix)
        self.out = folder / "out" / package
        self.out.mkdir(parents=True)

    def run(self) -> None:
        """Generates, compiles, links."""
        idl = self._translate()
        self._generate(idl)
        core, supports = f"{self._package}__rosidl_generator_c", [f"{self._package}__{support}" for support in SUPPORTS]
        chooser = f"{self._package}__rosidl_typesupport_c"
        self._library(core, "rosidl_generator_c", ())
        for library, one in zip(supports, SUPPORTS):
            self._library(library, one, (core,))
        self._library(chooser, "rosidl_typesupport_c", (core, *supports))
        self._library("", "python", (core, chooser))
        names = [f"lib{name}.so" for name in (core, *supports, chooser)]
        (self.out / "__init__.py").write_text(PRELOAD.format(names=names))

    def _translate(self) -> list[str]:
        """Definitions -> IDL files, each "folder:relative path" as the generators want them."""
        from rosidl_adapter import convert_to_idl

        idl = []
        for name, text in DEFINITIONS[self._package].items():
            source = self._folder / "definitions" / name
            source.parent.mkdir(parents=True, exist_ok=True)
            source.write_text(text)
            convert_to_idl(self._folder / "definitions", self._package, Path(name), self._folder / "idl")
            idl.append(f"{self._folder / 'idl'}:{Path(name).with_suffix('.idl')}")
        return idl

    def _generate(self, idl: list[str]) -> None:
        from rosidl_generator_c.cli import GenerateC
        from rosidl_generator_py.cli import GeneratePython
        from rosidl_generator_type_description.cli import HashTypeDescription
        from rosidl_typesupport_c.cli import GenerateCTypesupport
        from rosidl_typesupport_fastrtps_c.cli import GenerateFastRTPSCTypesupport
        from rosidl_typesupport_introspection_c.cli import GenerateIntrospectionCTypesupport

        share = [str(self._prefix / "share")]
        hashes = HashTypeDescription("hash").generate_type_hashes(
            self._package, idl, share, self._into("rosidl_generator_c")
        )
        for kind in sorted({path.parent.name for path in hashes}):  # the generator identifies files by their stems
            ours = [name for name in idl if Path(name.partition(":")[2]).parent.name == kind]
            selected = [path for path in hashes if path.parent.name == kind]
            GenerateC("c").generate(self._package, ours, share, self._into("rosidl_generator_c"), selected)
        steps: list[tuple[Any, str]] = [
            (GenerateFastRTPSCTypesupport("fastrtps_c"), SUPPORTS[0]),
            (GenerateIntrospectionCTypesupport("introspection_c"), SUPPORTS[1]),
            (GenerateCTypesupport("c", typesupport_implementations=list(SUPPORTS)), "rosidl_typesupport_c"),
        ]
        for generator, part in steps:
            generator.generate(self._package, idl, share, self._into(part))
        python = GeneratePython("py", typesupport_implementations=["rosidl_typesupport_c"])
        python.generate(self._package, idl, share, self.out)

    def _into(self, part: str) -> Path:
        folder = self._folder / part / self._package
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _library(self, name: str, part: str, needed: Sequence[str]) -> None:
        """Compiles and links a part; without a name the Python extension, whose sources are beside its modules."""
        folder = self.out if part == "python" else self._folder / part
        sources = sorted(path for path in folder.rglob("*") if path.suffix in (".c", ".cpp"))
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            objects = list(pool.map(self._compile, sources))
        extension = f"{self._package}_s__rosidl_typesupport_c{sysconfig.get_config_var('EXT_SUFFIX')}"
        file = f"lib{name}.so" if name else extension
        ours = [str(self.out / f"lib{name}.so") for name in needed]
        paths = [f"-Wl,-rpath,$ORIGIN:{self._prefix / 'lib'}", f"-L{self._prefix / 'lib'}", f"-Wl,-soname,{file}"]
        _run(["g++", "-shared", *map(str, objects), *ours, *paths, *self._libraries(), "-o", str(self.out / file)])

    def _libraries(self) -> list[str]:
        """Libraries that generated code links."""
        parts = ("generator_c", "generator_py", "typesupport_c", *(support.partition("_")[2] for support in SUPPORTS))
        others = [f"{package}__rosidl_{part}" for package in DEPENDENCIES for part in parts]
        names = ["rcutils", "rmw", "fastcdr", "rosidl_runtime_c", "rosidl_typesupport_c", *SUPPORTS]
        return [f"-l{name}" for name in (*names, "rosidl_typesupport_fastrtps_cpp", *others)]

    def _compile(self, source: Path) -> Path:
        target = source.with_suffix(source.suffix + ".o")
        root = self._prefix / "include"
        folders = [self._folder / part for part in ("rosidl_generator_c", *SUPPORTS, "rosidl_typesupport_c")]
        folders += [root, *sorted(path for path in root.iterdir() if path.is_dir())]
        folders += [Path(np.get_include()), Path(sysconfig.get_paths()["include"])]
        language = ["gcc", "-std=gnu11"] if source.suffix == ".c" else ["g++", "-std=c++17"]
        include = [f"-I{folder}" for folder in folders]
        _run([*language, "-O0", "-fPIC", "-w", *include, "-c", str(source), "-o", str(target)])
        if self.out in source.parents:
            source.unlink()
            return target.rename(self._folder / f"{source.parent.name}_{target.name}")
        return target


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{command[0]} failed: {done.stderr[:2000]}")


if __name__ == "__main__":
    Builder(sys.argv[1], Path(sys.argv[2])).run()

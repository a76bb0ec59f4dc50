"""Compiles `wire/` by mypyc into the wheel, for a platform's own wheels.

Off unless HATCH_BUILD_HOOK_ENABLE_CUSTOM=true: the plain wheel is pure Python and runs everywhere,
and an editable install always is. docs/performance.md says what is gained; `make test-compiled`
builds, tests and measures.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGE: Final = Path("src", "cert_otel")
DATA: Final = {"span.py", "reading.py"}
"""Structs alone: mypyc passes over the class arguments that msgspec takes, such as `frozen`."""
SETUP: Final = """
import sys
from mypyc.build import mypycify
from setuptools import setup

options = ["--python-version", f"{sys.version_info[0]}.{sys.version_info[1]}"]
flags = ["--explicit-package-bases", "--ignore-missing-imports", "--config-file="]
setup(
    name="compiled",
    packages=[],
    package_dir={"": "src"},
    ext_modules=mypycify([*options, *flags, *sys.argv[3:]], opt_level="3", debug_level="0"),
    script_args=sys.argv[1:3],
)
"""


class CompileHook(BuildHookInterface[Any]):
    """Puts an extension module beside each module of `wire/`: Python takes it before the source."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile a copy, and name the results to hatchling."""
        if version == "editable":
            return
        self._folder = TemporaryDirectory(prefix="cert-otel-wire-")
        folder = Path(self._folder.name)
        shutil.copytree(Path(self.root, PACKAGE), folder / PACKAGE)
        modules = sorted(
            str(path.relative_to(folder))
            for path in (folder / PACKAGE / "wire").rglob("*.py")
            if path.name not in DATA and path.parent.name + path.name != "wire__init__.py"
        )
        command = [sys.executable, "-c", SETUP, "build_ext", "--inplace", *modules]
        done = subprocess.run(  # noqa: S603 - our own program
            command,
            cwd=folder,
            env={**os.environ, "MYPYPATH": "src"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"mypyc or the C compiler failed:\n{done.stdout}{done.stderr}")
        made = (folder / "src").rglob("*.so")
        build_data["force_include"].update(
            {str(path): str(path.relative_to(folder / "src")) for path in made}
        )
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the copy; the wheel is written."""
        del version, build_data, artifact_path
        if hasattr(self, "_folder"):
            self._folder.cleanup()

"""The programs of the peers that stand beside the service: where they are, and how they get there.

Go's are built under `collector/build/peers/`, Phoenix has an environment under `build/peers/`, rotel
comes with `.venv`, and Prometheus is Debian's.

    python scripts/peer_programs.py [PEER ...]    # install those that are missing; 1 if one cannot be
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import peer_versions
from _environments import ROOT, make_python
from find_go import get_go

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PROGRAMS: Final = ROOT / "collector" / "build" / "peers"
PHOENIX: Final = ROOT / "build" / "peers" / "phoenix"
_PYTHON: Final = f"{sys.version_info.major}.{sys.version_info.minor}"


class Peer(NamedTuple):
    """A program by others."""

    find: Callable[[], Path | None]
    """Where it is, if it is there and runs."""
    install: Callable[[], None] | None
    """`None` where that is up to whoever runs the machine."""
    advice: str
    """How it gets there."""


def get_program(name: str) -> Path:
    """Return the program of a peer.

    Raises:
        FileNotFoundError: It is not there; the message says what to do.
    """
    peer = PEERS[name]
    found = peer.find()
    if found is None:
        message = f"{name} is not there: {peer.advice}"
        raise FileNotFoundError(message)
    return found


def find_rotel() -> Path | None:
    """Return rotel's program, where it is installed and finds its libpython."""
    found = importlib.util.find_spec("rotel")
    if found is None or found.origin is None:
        return None
    program = Path(found.origin).with_name("rotel-agent")
    done = subprocess.run(
        [program, "--version"], env=make_rotel_environ(), capture_output=True, check=False
    )
    return program if done.returncode == 0 else None


def make_rotel_environ() -> dict[str, str]:
    """Return an environment in which it also finds the libpython beside this interpreter."""
    return {**os.environ, "LD_LIBRARY_PATH": sysconfig.get_config_var("LIBDIR") or ""}


def find_built(module: str) -> Path | None:
    """Return what was built of a module at its version."""
    program = _get_path(module)
    return program if program.exists() else None


def install_telemetrygen() -> None:
    """Build it as its authors say: half a minute."""
    folder = _get_path(peer_versions.TELEMETRYGEN).parent
    _run_go("install", peer_versions.TELEMETRYGEN, GOBIN=str(folder))


def install_jaeger() -> None:
    """Build it from a copy of the module: its go.mod replaces modules, which `go install` refuses."""
    program = _get_path(peer_versions.JAEGER)
    source = program.with_name("source")
    shutil.rmtree(source, ignore_errors=True)
    told = _run_go("mod", "download", "-json", peer_versions.JAEGER)
    shutil.copytree(json.loads(told)["Dir"], source, copy_function=shutil.copyfile)
    for folder in (source, *(path for path in source.rglob("*") if path.is_dir())):
        folder.chmod(0o755)  # the module cache is read-only
    _run_go("-C", str(source), "build", "-ldflags=-s -w", "-o", str(program), "./cmd/jaeger")
    shutil.rmtree(source)


def find_phoenix() -> Path | None:
    """Return the program of its environment."""
    program = PHOENIX / "bin" / "phoenix"
    stamp = PHOENIX / ".requirements"
    is_there = stamp.exists() and stamp.read_text() == peer_versions.PHOENIX
    return program if is_there and program.exists() else None


def find_prometheus() -> Path | None:
    """Return the program, where promtool is there as well."""
    program, tool = shutil.which("prometheus"), shutil.which("promtool")
    return Path(program) if program and tool else None


def _get_path(module: str) -> Path:
    """Return where the program of a Go module goes: another version, another folder."""
    name = module.rpartition("/")[2]
    return PROGRAMS / name / name.partition("@")[0]


def _run_go(*arguments: str, **environ: str) -> str:
    go = str(get_go(install=True))
    done = subprocess.run(
        [go, *arguments],
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout


PEERS: Final = {
    "rotel": Peer(
        find_rotel,
        None,
        f"{peer_versions.ROTEL} comes with `make setup` for CPython 3.11 to 3.13, and its program needs"
        f" libpython{_PYTHON}.so (Debian's package libpython{_PYTHON})",
    ),
    "prometheus": Peer(
        find_prometheus, None, f"`apt-get install {peer_versions.PROMETHEUS}` has it, with promtool"
    ),
    "telemetrygen": Peer(
        lambda: find_built(peer_versions.TELEMETRYGEN),
        install_telemetrygen,
        "`python scripts/peer_programs.py telemetrygen` builds it",
    ),
    "phoenix": Peer(
        find_phoenix,
        lambda: print(make_python(PHOENIX, [peer_versions.PHOENIX])),
        "`python scripts/peer_programs.py phoenix` installs it",
    ),
    "jaeger": Peer(
        lambda: find_built(peer_versions.JAEGER),
        install_jaeger,
        "`python scripts/peer_programs.py jaeger` builds it",
    ),
}


def install(names: Sequence[str]) -> int:
    """Install what is missing of these peers; say what cannot be had."""
    missing = 0
    for name in names:
        peer = PEERS[name]
        if peer.find() is None and peer.install is not None:
            print(f"{name}: installing", flush=True)
            peer.install()
        try:
            print(f"{name}: {get_program(name)}", flush=True)
        except FileNotFoundError as problem:
            print(problem, file=sys.stderr)
            missing = 1
    return missing


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("peers", nargs="*", metavar="PEER", help=f"of {', '.join(PEERS)}")
    options = parser.parse_args()
    if unknown := set(options.peers) - set(PEERS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known are {', '.join(PEERS)}")
    return install(options.peers or list(PEERS))


if __name__ == "__main__":
    sys.exit(main())

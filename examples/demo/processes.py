"""Programs that run beside the demonstration, and end with it; and those that it waits for."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

PATIENCE_S: Final = 100
"""For one part to do what it is waited for."""
LOOK_S: Final = 0.1
STOP_S: Final = 30
"""`cert serve` promises to have ended by then."""
TAIL_LINES: Final = 15
_DIRECT: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Loopback needs no proxy, whatever the environment says."""


class DemoError(Exception):
    """A part of the demonstration failed; the message names it."""


class Background:
    """A program in the background, whose output goes into a log file.

    It has ended when the with block is left, however that comes. It is in a session of its own:
    Ctrl-C reaches the demonstration alone, which then ends everything in order.
    """

    def __init__(
        self, name: str, command: Sequence[str], *, environment: Mapping[str, str], folder: Path
    ) -> None:
        self.name = name
        self.log = folder / f"{name.replace(' ', '-')}.log"
        self._command = command
        self._environment = dict(environment)
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own programs
                self._command,
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def wait_until(self, is_true: Callable[[], bool], *, what: str) -> None:
        """Wait for what this program is to do.

        Raises:
            DemoError: It ended, or took too long; with the end of its log.
        """
        end_s = time.monotonic() + PATIENCE_S
        while not is_true():
            code = self._process.poll() if self._process else None
            if code is not None:
                raise self._fail(f"ended with exit code {code}, before there was: {what}")
            if time.monotonic() > end_s:
                raise self._fail(f"had {PATIENCE_S} s, and there is not: {what}")
            time.sleep(LOOK_S)

    def wait_for(self, url: str) -> None:
        """Wait until it answers there, as `wait_until` does."""
        self.wait_until(lambda: fetch(url) is not None, what=f"an answer at {url}")

    def _fail(self, problem: str) -> DemoError:
        return DemoError(f"{self.name} {problem}\n{quote_end(self.log)}")


def quote_end(log: Path) -> str:
    """Return the last lines of a log, under its name."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    last = "\n".join(f"  | {line}" for line in lines[-TAIL_LINES:])
    name = os.path.relpath(log)
    return f"{name} ends with:\n{last}" if last else f"{name} is empty"


def run_step(name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
    """Run one program to its end and let it print; a failure names it."""
    sys.stdout.flush()
    try:
        code = subprocess.run(  # noqa: S603 - our own programs
            command,
            env=dict(environment),
            timeout=PATIENCE_S,
            check=False,
            start_new_session=True,
        ).returncode
    except subprocess.TimeoutExpired:
        raise DemoError(f"{name} did not end within {PATIENCE_S} s") from None
    if code != 0:
        raise DemoError(f"{name} ended with exit code {code}")


def run_quietly(command: Sequence[str], log: Path | None = None) -> bool:
    """Run a program to its end, what it says going to the end of a log; tell whether it succeeded."""
    with Path(log or os.devnull).open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - our own programs
            command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        return process.wait() == 0
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)


def find_program(name: str) -> str:
    """Find a program of the environment that runs this script."""
    program = Path(sys.executable).with_name(name)
    if not program.exists():
        extras = "'.[analysis,score,service]'"
        raise DemoError(f"{program} is missing: install with pip install -e {extras}")
    return str(program)


def find_ports(count: int) -> list[int]:
    """Return ports of loopback that nobody listens on."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def fetch(url: str) -> str | None:
    """Return what a server on this machine answers; `None` while it does not, or refuses."""
    try:
        with _DIRECT.open(url, timeout=5) as answer:
            text: str = answer.read().decode()
            return text
    except OSError:
        return None


def end_on_signals() -> None:
    """Leave every with block when this process is told to end, or its terminal is closed."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))

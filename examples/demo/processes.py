"""Programs that run beside the demonstration, and end with it; and those that it waits for."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

PATIENCE_S: Final = 100
"""For one part to do what it is waited for."""
LOOK_S: Final = 0.1
STOP_S: Final = 30
"""`cert serve` promises to have ended by then."""
TAIL_LINES: Final = 15
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What ends the demonstration: Ctrl-C, `kill`, a terminal that is closed."""
_DIRECT: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Loopback needs no proxy, whatever the environment says."""


class DemoError(Exception):
    """A part of the demonstration failed; the message names it."""


@contextmanager
def run(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Start a program; it has ended when the with block is left, however that comes.

    It is in a session of its own: Ctrl-C reaches the demonstration alone, which then ends
    everything in order.

    Args:
        command: Program and arguments.
        **options: Of `subprocess.Popen`.
    """
    process = None
    try:
        with hold_signals():
            process = subprocess.Popen(command, start_new_session=True, **options)  # noqa: S603 - our own programs
        yield process
    finally:
        if process is not None and process.poll() is None:
            end(process)


@contextmanager
def hold_signals() -> Iterator[None]:
    """Put signals off: whoever was only half started could not be ended."""
    held: list[int] = []
    before = {one: signal.signal(one, lambda number, _: held.append(number)) for one in SIGNALS}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
    for number in held:
        signal.raise_signal(number)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a program that `run` started, with all that it has started itself."""
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class Background(NamedTuple):
    """A program in the background."""

    name: str
    log: Path
    """What it says."""
    process: subprocess.Popen[bytes]

    def wait_until(self, is_true: Callable[[], bool], *, what: str) -> None:
        """Wait for what this program is to do.

        Raises:
            DemoError: It ended, or took too long; with the end of its log.
        """
        end_s = time.monotonic() + PATIENCE_S
        while not is_true():
            code = self.process.poll()
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


@contextmanager
def run_in_background(
    name: str, command: Sequence[str], *, environment: Mapping[str, str], folder: Path
) -> Iterator[Background]:
    """Start a program that works in a folder, and has its log there."""
    path = folder / f"{name.replace(' ', '-')}.log"
    with (
        path.open("wb") as log,
        run(
            command,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        yield Background(name, path, process)


def quote_end(log: Path) -> str:
    """Return the last lines of a log, under its name."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    last = "\n".join(f"  | {line}" for line in lines[-TAIL_LINES:])
    name = os.path.relpath(log)
    return f"{name} ends with:\n{last}" if last else f"{name} is empty"


def run_step(name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
    """Run one program to its end and let it print; a failure names it."""
    sys.stdout.flush()
    with run(command, env=dict(environment)) as process:
        try:
            code = process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise DemoError(f"{name} did not end within {PATIENCE_S} s") from None
    if code != 0:
        raise DemoError(f"{name} ended with exit code {code}")


def run_quietly(command: Sequence[str], log: Path | None = None) -> bool:
    """Run a program to its end, what it says going to the end of a log; tell whether it succeeded."""
    with (
        Path(log or os.devnull).open("ab") as output,
        run(command, stdout=output, stderr=subprocess.STDOUT) as process,
    ):
        return process.wait() == 0


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
    """Leave every with block when this process is told to end, as on Ctrl-C."""
    for number in SIGNALS[1:]:
        signal.signal(number, lambda *_: sys.exit(1))

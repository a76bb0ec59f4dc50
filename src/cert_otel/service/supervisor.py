"""Keeps the service's processes alive: one that receives, one a GPU (or one) that scores.

A process that dies is started again, after a pause that doubles with each death in a row. What
killed it is not the supervisor's business: the inbox counts attempts, and the worker gives up on a
payload that kills it three times.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from cert_otel.service import prometheus
from cert_otel.service._child import EXIT_UNUSABLE, Role, list_command

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import FrameType

    from cert_otel.service.settings import Settings

RECEIVER_ENTRY: Final = "cert_otel.service._child:run_receiver"
SCORER_ENTRY: Final = "cert_otel.service.worker:run"
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 30.0
_HEALTHY_S: Final = 60.0
"""A process that lived this long may start anew without a pause."""
_STOP_S: Final = 25.0
"""For all processes to end when told to; then they are killed. Orchestrators give 30 s."""
_LOOK_S: Final = 0.1
_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - for a directory of our own in it

_logger = logging.getLogger("cert_otel.service")


class Supervisor:
    """Starts the processes of a service, restarts them, and stops them when told to."""

    def __init__(
        self,
        settings: Settings,
        *,
        receiver_entry: str = RECEIVER_ENTRY,
        scorer_entry: str = SCORER_ENTRY,
        environ: Mapping[str, str] = os.environ,
        first_pause_s: float = _FIRST_PAUSE_S,
    ) -> None:
        self._settings = settings
        self._stopping = False
        self._first_pause_s = first_pause_s
        gpus = list_gpus(environ) if settings.scorer.device in {"auto", "cuda"} else []
        self._parts = max(1, len(gpus))
        self._children = [self._make("receiver", receiver_entry, environ)]
        for part in range(self._parts):
            own = dict(environ)
            if gpus:
                own["CUDA_VISIBLE_DEVICES"] = gpus[part]
            self._children.append(self._make(f"scorer-{part}", scorer_entry, own, part=part))

    def run(self) -> int:
        """Run until SIGTERM or SIGINT.

        Returns:
            0 when it was told to stop, 2 when the settings cannot be used.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        with _share_metrics() as directory:
            for child in self._children:
                child.environ[prometheus.DIRECTORY] = directory
            try:
                return self._watch()
            finally:
                self._end()

    def _watch(self) -> int:
        receiver = self._children[0]
        while not self._stopping:
            for child in self._children:
                child.look()
            if receiver.exit_code == EXIT_UNUSABLE:
                return EXIT_UNUSABLE
            time.sleep(_LOOK_S)
        return 0

    def _end(self) -> None:
        for child in self._children:
            child.terminate()
        deadline_s = time.monotonic() + _STOP_S
        for child in self._children:
            child.wait(max(0.0, deadline_s - time.monotonic()))

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _make(self, name: str, entry: str, environ: Mapping[str, str], *, part: int = 0) -> _Child:
        role = Role(name, entry, part, self._parts, self._settings)
        return _Child(role, dict(environ), first_pause_s=self._first_pause_s)


class _Child:
    """One process, and what became of those before it."""

    def __init__(self, role: Role, environ: dict[str, str], *, first_pause_s: float) -> None:
        self.environ = environ
        self.exit_code: int | None = None
        self._role = role
        self._process: subprocess.Popen[bytes] | None = None
        self._started_s = 0.0
        self._next_s = 0.0
        self._first_pause_s = self._pause_s = first_pause_s

    def look(self) -> None:
        """Note a death; start the process when it is time."""
        if self._process is None:
            if time.monotonic() >= self._next_s:
                self._start()
            return
        code = self._process.poll()
        if code is not None:
            self._note_death(self._process, code)

    def terminate(self) -> None:
        """Tell the process to stop."""
        if self._process is not None:
            self._process.terminate()

    def wait(self, timeout_s: float) -> None:
        """Wait for its end, and kill it when that does not come."""
        if self._process is None:
            return
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            _logger.warning("%s did not stop in time and is killed", self._role.name)
            self._process.kill()
            self._process.wait()
        _close(self._process)

    def _start(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            list_command(self._role.name), stdin=subprocess.PIPE, env=self.environ
        )
        self._started_s = time.monotonic()
        if self._process.stdin is not None:
            # A process that dies at once is noted by the next look.
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write(msgspec.json.encode(self._role) + b"\n")
                self._process.stdin.flush()

    def _note_death(self, process: subprocess.Popen[bytes], code: int) -> None:
        self.exit_code = code
        self._process = None
        _close(process)
        now_s = time.monotonic()
        if now_s - self._started_s > _HEALTHY_S:
            self._pause_s = self._first_pause_s
        self._next_s = now_s + self._pause_s
        _logger.error(
            "%s ended %s and starts again in %g s", self._role.name, _explain(code), self._pause_s
        )
        self._pause_s = min(_LONGEST_PAUSE_S, 2 * self._pause_s)


def list_gpus(
    environ: Mapping[str, str], driver: Path = Path("/proc/driver/nvidia/gpus")
) -> list[str]:
    """Return what `CUDA_VISIBLE_DEVICES` may be, one a GPU, without loading a library for it."""
    named = environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [
            name for name in (part.strip() for part in named.split(",")) if name not in {"", "-1"}
        ]
    if not driver.is_dir():
        return []
    return [str(index) for index, _ in enumerate(driver.iterdir())]


@contextlib.contextmanager
def _share_metrics() -> Iterator[str]:
    """Make a directory in which each process leaves its figures, so that one can show all.

    The files are mapped: on a disk that is full a process would be killed by SIGBUS.
    """
    memory = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    directory = tempfile.mkdtemp(prefix="cert-metrics-", dir=memory)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _close(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()


def _explain(code: int) -> str:
    if code >= 0:
        return f"with code {code}"
    return f"by {signal.Signals(-code).name}"

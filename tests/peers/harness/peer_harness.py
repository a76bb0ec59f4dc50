"""`cert serve` and programs by others as processes on loopback, each ended by its process id."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
from collector_harness import find_port
from prometheus_client.parser import text_string_to_metric_families

from cert_otel.errors import InputError
from cert_otel.journal import read_journal
from cert_otel.scoring.defaults import REFERENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Self

    from cert_otel.records import Record

Found = TypeVar("Found")

CERT: Final = Path(sys.executable).with_name("cert")
_PATIENCE_S: Final = 180.0
"""Some of them start slowly on a machine with much to do."""
_STOP_S: Final = 30.0


def wait_for(find: Callable[[], Found | None], *, what: str) -> Found:
    """Return what another process does sooner or later; fail when it does not."""
    end = time.monotonic() + _PATIENCE_S
    while time.monotonic() < end:
        found = find()
        if found:
            return found
        time.sleep(0.1)
    message = f"{_PATIENCE_S:.0f} s passed without: {what}"
    raise AssertionError(message)


def fetch(url: str, *, body: bytes | None = None) -> bytes:
    """Return what an address answers.

    Raises:
        OSError: Nobody does, or with an error.
    """
    request = urllib.request.Request(url, body, {"content-type": "application/json"})  # noqa: S310 - loopback
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - likewise
        found: bytes = answer.read()
        return found


def fetch_json(url: str) -> Any:
    """Return the JSON that an address answers."""
    return msgspec.json.decode(fetch(url))


class Program:
    """A process that says what it has to say into a file."""

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        log: Path,
        environ: Mapping[str, str] = os.environ,
        ready: str,
    ) -> None:
        """Set up.

        Args:
            command: What is run.
            log: Where its output goes.
            environ: All of its environment.
            ready: Once it is ready it listens on this HOST:PORT, or answers OK at this URL.
        """
        self._command = [str(part) for part in command]
        self._log = log
        self._environ = dict(environ)
        self._ready = ready
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start, and wait until it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._environ,
                cwd=self._log.parent,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_for(self._is_ready, what=f"an answer at {self._ready}")

    def stop(self) -> None:
        """Ask it to end, and wait until it has."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(timeout=_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def read_log(self) -> str:
        """Return what it has said."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.read_log()[-4000:]
        with suppress(OSError):
            if "://" in self._ready:
                return bool(fetch(self._ready))
            host, _, port = self._ready.rpartition(":")
            socket.create_connection((host, int(port)), timeout=1).close()
            return True
        return False


class CertServe:
    """`cert serve` with the packaged model, and the settings that a test adds."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.trail = folder / "trail"
        self.endpoint = f"127.0.0.1:{find_port()}"
        """OTLP/gRPC."""
        self.http = f"127.0.0.1:{find_port()}"
        """OTLP/HTTP."""
        self.metrics = f"127.0.0.1:{find_port()}"
        self._program: Program | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, **sections: Any) -> Self:
        """Start with these sections of cert.yaml beside those that name places."""
        settings = {
            "receiver": {"grpc": {"endpoint": self.endpoint}, "http": {"endpoint": self.http}},
            "api": {"enabled": False},
            "metrics": {"endpoint": self.metrics},
            "inbox": {"path": str(self._folder / "inbox")},
            "scorer": {"model": REFERENCE, "device": "cpu"},
            "trail": {"path": str(self.trail)},
            **sections,
        }
        config = self._folder / "cert.yaml"
        config.write_bytes(msgspec.json.encode(settings))  # JSON is YAML
        self._program = Program(
            [CERT, "serve", "--config", config],
            log=self._folder / "cert.log",
            ready=self.http,
        )
        self._program.start()
        return self

    def stop(self) -> None:
        """Ask it to end, and wait until it has."""
        if self._program is not None:
            self._program.stop()
            self._program = None

    def read_records(self) -> list[Record]:
        """Return what is in the trail."""
        try:
            return list(read_journal([self.trail]).records)
        except InputError:  # there is no line yet
            return []

    def wait_for_records(self, count: int) -> list[Record]:
        """Return so many records, or more, once they are there."""

        def find() -> list[Record] | None:
            records = self.read_records()
            return records if len(records) >= count else None

        return wait_for(find, what=f"{count} records in the trail; {self.read_log()[-2000:]}")

    def read_log(self) -> str:
        """Return what it has said."""
        return "" if self._program is None else self._program.read_log()


def read_counts(service: CertServe, metric: str, label: str) -> dict[str, float]:
    """Return the values of a metric of the service by one of its labels."""
    text = fetch(f"http://{service.metrics}/metrics").decode()
    samples = [
        sample
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == metric
    ]
    return {sample.labels[label]: sample.value for sample in samples}


def list_scores(record: Record) -> dict[str, float | None]:
    """Return what the trail says of a call, by the names that go out."""
    assert record.score_status == "scored"
    assert record.trajectory is not None
    scores = {one.name: one.score for one in record.evaluations}
    return scores | {
        "perplexity": record.trajectory.perplexity,
        "confidence": record.confidence,
    }

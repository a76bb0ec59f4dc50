"""`cert serve` as processes, and the whole chain around it: collector, service, backend.

The service is the real one, supervisor, receiver and scorer process; its judge is a stand-in
(`fake_scorer.py`). Folders and ports stay the same from start to start.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import fake_scorer
from accounts import Account, read_events, read_trail, take_account
from collector_harness import (
    ROOT,
    TRACES,
    Chain,
    Sink,
    find_port,
    list_spans,
    open_call,
    wait_until,
)
from mixed_spans import make_mixed, make_plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self

    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

Child = Literal["receiver", "scorer-0"]

_RUN: Final = (
    "import sys; from pathlib import Path; from cert_otel.service import logs;"
    "from cert_otel.service.settings import load;"
    "from cert_otel.service.supervisor import Supervisor;"
    "settings = load(Path(sys.argv[1])); logs.configure(settings.logs, 'supervisor');"
    "sys.exit(Supervisor(settings, scorer_entry=sys.argv[2], first_pause_s=0.1).run())"
)
_STOP_S: Final = 40.0


class Service:
    """`cert serve`: what the collector takes for its scorer."""

    def __init__(self, folder: Path, **sections: Mapping[str, Any]) -> None:
        """Choose ports.

        Args:
            folder: For everything that it keeps.
            sections: Of cert.yaml.
        """
        self.trail = Path(sections.get("trail", {}).get("path", folder / "trail"))
        self.inbox = Path(sections.get("inbox", {}).get("path", folder / "inbox"))
        self.endpoint = f"127.0.0.1:{find_port()}"
        self._http = f"127.0.0.1:{find_port()}"
        self._folder = folder
        self._config = folder / "cert.yaml"
        self._sections = sections
        self._process: subprocess.Popen[bytes] | None = None
        self._log: list[bytes] = []

    def start(self, results: str) -> None:
        """Start, and wait until requests are taken.

        Args:
            results: HOST:PORT to which events are sent.
        """
        self._write_config(results)
        harness = str(Path(fake_scorer.__file__).parent)
        self._process = subprocess.Popen(
            [sys.executable, "-c", _RUN, str(self._config), fake_scorer.ENTRY],
            env={**os.environ, "PYTHONPATH": os.pathsep.join((harness, str(ROOT / "src")))},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        threading.Thread(target=self._listen, args=(self._process,), daemon=True).start()
        wait_until(self._is_ready, what="a service that is ready")

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        """Keep what it says: a file would be among those that may not grow."""
        assert process.stdout is not None
        with process.stdout:
            self._log.extend(process.stdout)

    def _write_config(self, results: str) -> None:
        defaults: dict[str, dict[str, Any]] = {
            "receiver": {
                "grpc": {"endpoint": self.endpoint},
                "http": {"endpoint": self._http},
            },
            "api": {"enabled": False},
            "metrics": {"enabled": False},
            "inbox": {"path": str(self.inbox)},
            "trail": {"path": str(self.trail)},
            "deliver": {"to": ["event"], "endpoint": f"http://{results}"},
        }
        config = {
            name: {**defaults.get(name, {}), **self._sections.get(name, {})}
            for name in (*defaults, *self._sections)
        }
        self._config.write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.read_log()
        with (
            suppress(OSError),
            urllib.request.urlopen(f"http://{self._http}/readyz", timeout=5) as answer,
        ):
            return bool(answer.status == 200) and self.find_child("scorer-0") is not None
        return False

    def set_delay(self, seconds: float) -> None:
        """Let each batch take so long from now on."""
        new = self.trail.with_name("delay.new")
        new.write_text(str(seconds), encoding="ascii")
        new.rename(self.trail.with_name(fake_scorer.DELAY))

    def find_child(self, name: Child) -> int | None:
        """Return the process id of a process of the service, while there is one."""
        if self._process is None:
            return None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        for child in children.read_text(encoding="ascii").split():
            with suppress(OSError):
                if name.encode() in Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0"):
                    return int(child)
        return None

    def kill(self, name: Child) -> None:
        """Kill one of its processes; the supervisor starts it again."""
        wait_until(lambda: self.find_child(name) is not None, what=name)
        with suppress(ProcessLookupError):
            os.kill(self.find_child(name) or 0, signal.SIGKILL)

    def kill_all(self) -> None:
        """Kill all its processes, as a machine does that loses its power."""
        assert self._process is not None
        children = [self.find_child("receiver"), self.find_child("scorer-0")]
        self._process.kill()
        self._process.wait()
        self._process = None
        for child in children:
            if child is not None:
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
                wait_until(lambda pid=child: _has_ended(pid), what="an end")  # type: ignore[misc]  # bound now

    def stop(self) -> int | None:
        """Stop it as an orchestrator does, and return its exit code, if it ran."""
        if self._process is None:
            return None
        self._process.terminate()
        code = self._process.wait(timeout=_STOP_S)
        self._process = None
        return code

    def read_log(self) -> str:
        """Return what it has said since it was first started."""
        return b"".join(self._log).decode(errors="replace")

    def export(self, body: bytes) -> bytes:
        """Send to the service itself, past the collector.

        Raises:
            grpc.RpcError: When it is refused.
        """
        with open_call(self.endpoint, TRACES) as export:
            return export(body)


def _has_ended(pid: int) -> bool:
    try:
        return "Z (zombie)" in Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return True


class System:
    """Application's end, collector, service and backend; it knows what was sent."""

    def __init__(
        self,
        folder: Path,
        *,
        environment: Mapping[str, str] | None = None,
        **sections: Mapping[str, Any],
    ) -> None:
        """Set up, without a start.

        Args:
            folder: For everything that is kept.
            environment: Of the collector, beside the ends.
            sections: Of cert.yaml.
        """
        folder.mkdir(exist_ok=True)
        self.backend = Sink()
        self.service = Service(folder, **sections)
        self.chain = Chain(folder, self.service, self.backend, environment=environment)
        self.collector = self.chain.collector
        self.sent: dict[bytes, bytes] = {}
        """Of each span that was acknowledged its id, and all there is of it."""
        self.others: set[bytes] = set()
        """Ids of those among them that tell of no model."""
        self.past: set[bytes] = set()
        """Ids of those that were sent to the service past the collector."""
        self._next = self._next_plain = 0
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.backend)
            stack.callback(self.service.stop)
            stack.enter_context(self.chain)
            self.start_service()
            self.collector.start()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start_service(self) -> None:
        """Start the service, whose results go to the collector."""
        self.service.start(self.collector.results)

    def make(self, count: int, *, batch: int = 64) -> list[ExportTraceServiceRequest]:
        """Return so many spans of all dialects that were not sent before."""
        requests = make_mixed(count, batch=batch, start=self._next)
        self._next += count
        return requests

    def note(self, request: ExportTraceServiceRequest, *, tells_of_model: bool = True) -> None:
        """Note what was acknowledged."""
        spans = dict(list_spans(request))
        self.sent |= spans
        if not tells_of_model:
            self.others |= spans.keys()

    def make_plain(self, count: int) -> ExportTraceServiceRequest:
        """Return so many spans that tell of no model, none of which was sent before."""
        self._next_plain += count
        return make_plain(count, start=self._next_plain - count)

    def send(
        self, requests: Sequence[ExportTraceServiceRequest], *, tells_of_model: bool = True
    ) -> None:
        """Send through the collector; a refusal is raised."""
        self.chain.send(*requests)
        for request in requests:
            self.note(request, tells_of_model=tells_of_model)

    def send_past(self, request: ExportTraceServiceRequest) -> None:
        """Send to the service itself; a refusal is raised."""
        self.service.export(request.SerializeToString())
        self.note(request)
        self.past |= {key for key, _ in list_spans(request)}

    def has_all(self) -> bool:
        """Whether everything that was sent is everywhere where it must be."""
        if not self.sent.keys() - self.past <= set(self.backend.list_ids()):
            return False
        trail = read_trail(self.service.trail)
        return self.sent.keys() - self.others <= trail.found.keys() and trail.delivered <= {
            event.key for event in read_events(self.backend)
        }

    def take_account(self, *, patience_s: float = 60.0) -> Account:
        """Wait until all has arrived, and count.

        Raises:
            AssertionError: It has not, in so many seconds.
        """
        try:
            wait_until(self.has_all, what="all at both ends", patience_s=patience_s, look_s=0.2)
        except AssertionError as late:
            late.add_note(f"{self.count()}\n{self.service.read_log()[-3000:]}")
            raise
        return self.count()

    def count(self) -> Account:
        """Count what is there now."""
        return take_account(
            {key: content for key, content in self.sent.items() if key not in self.past},
            models=self.sent.keys() - self.others,
            directory=self.service.trail,
            backend=self.backend,
        )

"""What was acknowledged is there after any death, and a death stays its process's own."""

from __future__ import annotations

import gzip
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
from tests.service.conftest import PROTOBUF, TRACES, Service

from cert_otel.service.inbox import Inbox

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).parent
KILLS = 10
CAP = 10**10


def kill_appender(directory: Path, first: int, after_s: float) -> list[int]:
    """Let a process append for so long, kill it, and return what it said was on disk."""
    process = subprocess.Popen(
        [sys.executable, str(HERE / "appending.py"), str(directory), str(first)],
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    lines = [process.stdout.readline()]
    time.sleep(after_s)
    process.kill()
    lines += process.stdout.readlines()
    process.stdout.close()
    process.wait()
    return [int(line) for line in lines if line.endswith(b"\n")]


def read_numbers(directory: Path) -> list[int]:
    """Return the numbers of all payloads in the inbox."""
    found: list[int] = []
    with Inbox.open(directory, cap_bytes=CAP) as inbox:
        rows = inbox.read(0, CAP)
        while rows:
            found += [int(row.payload.body.partition(b":")[0]) for row in rows]
            rows = inbox.read(rows[-1].id, CAP)
    return found


def wait_for(condition: Callable[[], bool]) -> None:
    """Return as soon as it holds."""
    deadline_s = time.monotonic() + 30
    while not condition():
        if time.monotonic() > deadline_s:
            pytest.fail("did not come true in time")
        time.sleep(0.02)


def send(service: Service, body: bytes) -> bool:
    """Send once; whether it was acknowledged."""
    with grpc.insecure_channel(f"127.0.0.1:{service.grpc_port}") as channel:
        try:
            channel.unary_unary(TRACES, None, None)(body, timeout=10, wait_for_ready=True)
        except grpc.RpcError:
            return False
    return True


class TestInbox:
    def test_killed_while_appending(self, tmp_path: Path) -> None:
        """Over ten kills at random moments nothing acknowledged is missing or doubled."""
        draw = random.Random(os.getpid())  # noqa: S311 - moments, not secrets
        acknowledged: list[int] = []
        for _ in range(KILLS):
            first = max(acknowledged, default=-1) + 1_000
            acknowledged += kill_appender(tmp_path, first, draw.uniform(0, 0.15))
        found = read_numbers(tmp_path)

        assert set(acknowledged) <= set(found)
        assert len(found) == len(set(found))
        assert len(acknowledged) >= KILLS

    def test_disk_full(self, tmp_path: Path) -> None:
        """When the file may grow no more nothing is acknowledged that is not there."""
        process = subprocess.run(
            [sys.executable, str(HERE / "appending.py"), str(tmp_path), "0"],
            preexec_fn=limit_files,
            capture_output=True,
            check=False,
        )
        acknowledged = {int(line) for line in process.stdout.splitlines()}

        assert b"InboxError" in process.stderr
        assert acknowledged
        assert acknowledged <= set(read_numbers(tmp_path))


def limit_files() -> None:
    """No file of this process grows beyond 20 MB; a write that would is an error, not a signal."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000_000, 20_000_000))


class TestService:
    def test_receiver_killed(self, serve: Callable[..., Service]) -> None:
        """It is started again, and what it had acknowledged is in the inbox."""
        service = serve(scorer="consuming:have_no_model")
        acknowledged = [b"%d" % number for number in range(20) if send(service, b"%d" % number)]
        os.kill(service.get_child("receiver"), signal.SIGKILL)
        wait_for(lambda: send(service, b"after"))
        with Inbox.attach(service.inbox) as inbox:
            found = [row.payload.body for row in inbox.read(0, CAP)]

        assert acknowledged
        assert found[: len(acknowledged)] == acknowledged
        assert b"after" in found
        assert "receiver ended by SIGKILL and starts again in 0.5 s" in service.read_log()

    def test_scorer_killed(self, serve: Callable[..., Service]) -> None:
        """A payload that kills the scorer three times is put aside; those around it are done."""
        service = serve(scorer="consuming:die_of_poison")
        for body in (b"good", b"poison", b"better"):
            assert send(service, body)
        with Inbox.attach(service.inbox) as inbox:
            wait_for(lambda: inbox.stats().rows == 0)
            quarantined = inbox.list_quarantined()

        assert quarantined == [(2, "killed the scorer three times")]
        assert service.read_log().count("scorer-0 ended by SIGKILL") == 3

    def test_no_model(self, serve: Callable[..., Service], tmp_path: Path) -> None:
        """A scorer that cannot start takes nobody with it: what comes is kept."""
        service = serve(scorer="consuming:have_no_model")
        wait_for(lambda: "there is no such model" in service.read_log())

        assert send(service, b"x")
        assert (tmp_path / "tried-0-of-1").exists()
        with Inbox.attach(service.inbox) as inbox:
            assert inbox.stats().rows == 1

    def test_supervisor_killed(self, serve: Callable[..., Service]) -> None:
        """Its processes end with it, so that the next may begin."""
        service = serve()
        receiver = service.get_child("receiver")
        service.process.kill()
        service.process.wait()

        wait_for(lambda: not Path(f"/proc/{receiver}/status").exists() or is_zombie(receiver))
        with Inbox.open(service.inbox, cap_bytes=CAP) as inbox:
            assert inbox.stats().rows == 0

    def test_terminated(self, serve: Callable[..., Service]) -> None:
        """Told to stop under load it ends with 0; all that was acknowledged is in the inbox."""
        service = serve(scorer="consuming:have_no_model")
        with grpc.insecure_channel(f"127.0.0.1:{service.grpc_port}") as channel:
            export = channel.unary_unary(TRACES, None, None)
            calls = [export.future(b"%d" % number, timeout=20) for number in range(200)]
            code = service.stop()
            acknowledged = {
                b"%d" % number for number, call in enumerate(calls) if call.exception() is None
            }
            codes = {call.code() for call in calls}
        with Inbox.open(service.inbox, cap_bytes=CAP) as inbox:
            found = {row.payload.body for row in inbox.read(0, CAP)}

        assert code == 0
        assert acknowledged <= found
        # A collector sends again after either of the latter.
        assert codes <= {
            grpc.StatusCode.OK,
            grpc.StatusCode.UNAVAILABLE,
            grpc.StatusCode.CANCELLED,
        }

    def test_port_in_use(self, serve: Callable[..., Service], tmp_path: Path) -> None:
        """A second service on the same ports ends at once and says why."""
        first = serve()
        (tmp_path / "second").mkdir()
        second = Service(tmp_path / "second", scorer="_null_scorer:run")
        second.process.kill()
        second.close()
        config = second.config.read_text(encoding="utf-8")
        second.config.write_text(
            config.replace(f":{second.grpc_port}'", f":{first.grpc_port}'"), encoding="utf-8"
        )
        done = second.run_again()

        assert done.returncode == 2
        assert f"cannot listen on 127.0.0.1:{first.grpc_port}" in done.stdout

    def test_two_gpus(self, serve: Callable[..., Service]) -> None:
        """A scorer a GPU: between them they finish everything."""
        service = serve(CUDA_VISIBLE_DEVICES="0,1")
        for number in range(20):
            assert send(service, b"%d" % number)
        with Inbox.attach(service.inbox) as inbox, Inbox.attach(service.inbox, parts=2) as half:
            wait_for(lambda: service.get_child("scorer-1") != 0 and half.stats().rows == 0)
            wait_for(lambda: inbox.read(0, CAP) == [])

    def test_bombs(self, serve: Callable[..., Service]) -> None:
        """A little that unpacks to very much costs the receiver no more than a large request."""
        service = serve()
        bomb = gzip.compress(bytes(600 * 2**20), 1)
        assert service.post(bomb, {**PROTOBUF, "content-encoding": "gzip"}) == 413
        with grpc.insecure_channel(
            f"127.0.0.1:{service.grpc_port}", options=[("grpc.max_send_message_length", -1)]
        ) as channel:
            call = channel.unary_unary(TRACES, None, None)
            with pytest.raises(grpc.RpcError, match="larger than max"):
                call(bytes(600 * 2**20), timeout=60, compression=grpc.Compression.Gzip)
        status = Path(f"/proc/{service.get_child('receiver')}/status").read_text(encoding="ascii")

        assert int(status.partition("VmHWM:")[2].split()[0]) < 400 * 1024

    def test_no_torch(self, serve: Callable[..., Service]) -> None:
        """The receiver loads nothing of a model."""
        service = serve()
        mapped = Path(f"/proc/{service.get_child('receiver')}/maps").read_text(encoding="utf-8")

        assert "grpc" in mapped
        for heavy in ("torch", "numpy", "duckdb", "scipy"):
            assert f"/{heavy}" not in mapped

    def test_metrics_of_all(self, serve: Callable[..., Service]) -> None:
        """One address shows the figures of every process, those that died included."""
        service = serve()
        assert send(service, b"x")
        os.kill(service.get_child("receiver"), signal.SIGKILL)
        wait_for(lambda: send(service, b"y"))

        assert 'outcome="accepted",protocol="grpc"} 2.0' in service.scrape()


def is_zombie(pid: int) -> bool:
    """Whether it ended and its parent has not looked."""
    try:
        return "Z (zombie)" in Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return True

"""otel-collector.yaml with the real service behind it: what is sent ends once, whatever fails.

`torture.py` beside it plays the same scenes with more spans, and others that take longer.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import grpc
import pytest
import scenes
from accounts import read_trail
from full_disk import LimitedProcess
from service_harness import System

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="class")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Collector, service and backend, started; each test leaves them in order."""
    with System(tmp_path_factory.mktemp("chain"), **scenes.SMALL) as system:
        yield system


class TestChain:
    def test_each_span_ends_once(self, system: System) -> None:
        """Sent = scored + skipped + error; the backend has all, unchanged; an event tells of each."""
        account = scenes.flow(system, spans=400, plain=40)

        assert account.faults == {}
        assert min(account.scored, account.skipped, account.error) > 0

    def test_large(self, system: System) -> None:
        """A span of 5 MB and a batch of 5 MB pass; the span is too long to be judged."""
        scenes.send_large(system, first=0)

        assert system.take_account().faults == {}
        assert read_trail(system.service.trail).outcomes["skipped", "too_long"] == 1

    def test_outages(self, system: System) -> None:
        """Ten minutes of a span a second wait for the service; SIGTERM loses nothing meanwhile."""
        code = scenes.stop_in_an_outage(system, spans=100)
        scenes.outlast(system, spans=600)

        assert code == 0
        assert system.take_account().faults == {}

    def test_disk_of_the_inbox_full(self, system: System) -> None:
        """Nothing is acknowledged; the collector keeps it until there is room."""
        disk = LimitedProcess(lambda: system.service.find_child("receiver"))

        code = scenes.fill_inbox_disk(system, disk, spans=100)

        assert code is grpc.StatusCode.UNAVAILABLE
        assert system.take_account().faults == {}

    def test_disk_of_the_trail_full(self, system: System) -> None:
        """Scoring waits, in the same process, and goes on when there is room."""
        worker = system.service.find_child("scorer-0")
        disk = LimitedProcess(lambda: worker)

        waiting = scenes.fill_trail_disk(system, disk, spans=100)

        assert waiting > 0
        assert system.take_account().faults == {}
        assert system.service.find_child("scorer-0") == worker

    def test_killed_while_spans_flow(self, system: System) -> None:
        """Scorer, receiver, collector and all of them, each killed once: every span ends once."""
        killed = scenes.kill_at_random(system, kills=4, seed=os.getpid())

        assert killed["all"] == 1
        assert system.take_account().faults == {}

    def test_slow_scorer(self, system: System) -> None:
        """Acknowledgements wait for no score; a full inbox says when to come again, and is shed."""
        refusal = scenes.fall_behind(system, first=2000)

        assert (refusal.scored, refusal.code) == (0, grpc.StatusCode.RESOURCE_EXHAUSTED)
        assert refusal.acknowledged > 10
        assert refusal.has_retry_info
        assert system.take_account().faults == {}
        assert read_trail(system.service.trail).outcomes["skipped", "shed"] > 0

    def test_poison(self, system: System) -> None:
        """A record that kills three times is an error, bytes that are no OTLP are put aside."""
        scenes.poison(system, first=1000)

        assert system.take_account().faults == {}
        assert read_trail(system.service.trail).outcomes["error", "killed_the_scorer"] == 1
        assert len(scenes.list_quarantined(system)) == 1

"""The scorer process as a whole: the packaged model, the outbox, the socket, and its end."""

from __future__ import annotations

import asyncio
import tempfile
import time
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.service.spans import fill, make_call, make_payload
from tests.service.test_outbox import Backend, read_attributes, serve
from tests.service.test_worker import Praise, Service
from tests.service.torture import Process

from cert_otel.errors import ConfigError
from cert_otel.service import places
from cert_otel.service.direct import Answer, DirectServer, Question, UnansweredError, ask
from cert_otel.service.inbox import Inbox
from cert_otel.service.judging import Judges
from cert_otel.service.limits import Limits
from cert_otel.service.settings import (
    Deliver,
    Logs,
    Scorer,
    Settings,
    Trail,
)
from cert_otel.service.settings import Inbox as InboxSettings
from cert_otel.service.worker import make_policy

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cert_otel.records import EvaluationRecord
    from cert_otel.service.judging import Case

ENTRY = "cert_otel.service.worker:run"


@pytest.fixture
def place() -> Iterator[Path]:
    """Return a directory with a short name: that of a socket may have 108 bytes."""
    with tempfile.TemporaryDirectory(prefix="cert-") as directory:
        yield Path(directory)


def make_settings(place: Path, endpoint: str) -> Settings:
    """Return settings of a worker with the packaged model that sends events."""
    return Settings(
        inbox=InboxSettings(path=str(place / "inbox")),
        scorer=Scorer(model="cert-otel-reference", device="cpu"),
        trail=Trail(path=str(place / "trail")),
        deliver=Deliver(to=("event",), endpoint=endpoint),
        logs=Logs(level="error"),
    )


def wait_until_finished(settings: Settings, backend: Backend) -> None:
    """Wait until nothing is left to be done, and something was sent."""
    deadline_s = time.monotonic() + 120
    with Inbox.attach(settings.inbox.path) as inbox:
        while inbox.stats().rows or not backend.taken:
            assert time.monotonic() < deadline_s
            time.sleep(0.1)


class TestRun:
    def test_from_the_inbox_to_the_backend(self, place: Path) -> None:
        """Spans are scored, recorded and sent back; the socket answers; it ends when told to."""
        backend = Backend()
        with serve(backend) as port:
            settings = make_settings(place, f"http://127.0.0.1:{port}")
            fill(place / "inbox", [make_payload([make_call(1), make_call(2, output_data=None)])])
            worker = Process("scorer-0", ENTRY, settings)
            wait_until_finished(settings, backend)
            question = Question(operation="score", records=[make_call(7)])
            answer = asyncio.run(ask(places.get_socket(settings), question))
            code = worker.stop()

        scored, skipped = sorted(Service(place).read(), key=lambda one: one.score_status or "")
        assert (skipped.score_status, skipped.score_reason) == ("skipped", "no_answer")
        assert scored.trajectory is not None
        assert scored.scorer == "cert-otel-reference"
        events = [
            read_attributes(event.attributes)
            for request in backend.taken
            for event in request.resource_logs[0].scope_logs[0].log_records
        ]
        assert [one["gen_ai.evaluation.name"] for one in events] == ["perplexity"]
        assert events[0]["gen_ai.evaluation.score.value"] == scored.trajectory.perplexity
        assert [one.scorer for one in answer.results] == ["cert-otel-reference"]
        assert code == 0
        assert not places.get_socket(settings).exists()


class TestPolicy:
    def test_what_the_settings_say(self, place: Path) -> None:
        """Refusing sheds nothing; shedding begins below where the receiver refuses."""
        settings = make_settings(place, "http://127.0.0.1:1")
        cap = settings.inbox.cap_bytes
        shedding = Settings(inbox=InboxSettings(shed="oldest"), scorer=Scorer(batch_tokens=9))

        refuses, sheds = make_policy(settings, Limits()), make_policy(shedding, Limits(records=7))

        assert refuses.shed_above_bytes is None
        assert sheds.shed_above_bytes is not None
        assert 0 < sheds.shed_above_bytes < 0.8 * cap
        assert sheds.limits == Limits(records=7, tokens=9)


class TestAsking:
    def test_who_asks_on_and_on_holds_up_no_batch(self, place: Path) -> None:
        """What is asked while others are answered waits for the next time."""
        question = Question(operation="score", records=[make_call(1)])
        server = DirectServer(place / "s.sock")
        judged = []

        class Endless(Praise):
            def judge(self, cases: Sequence[Case]) -> list[list[EvaluationRecord]]:
                judged.append(len(cases))
                server._questions.put_nowait((question, Future()))
                return super().judge(cases)

        server.start(Judges(Endless()))
        server._questions.put_nowait((question, Future()))
        server.answer_all()
        server.close()

        assert judged == [1]

    def test_who_waits_no_more_is_not_answered(self, place: Path) -> None:
        """A question that its asker gave up costs no pass of the model."""
        server = DirectServer(place / "s.sock")
        server.start(Judges(Praise()))
        given_up, waiting = Future[Answer](), Future[Answer]()
        given_up.cancel()
        question = Question(operation="score", records=[make_call(1)])
        for future in (given_up, waiting):
            server._questions.put_nowait((question, future))
        server.answer_all()
        server.close()

        assert [one.scorer for one in waiting.result(1).results] == ["praise"]
        assert given_up.cancelled()

    def test_a_name_that_is_too_long(self, place: Path) -> None:
        """A socket's name has an end: the setting is named, and what to do."""
        with pytest.raises(ConfigError, match=r"inbox\.path: .* name a shorter path"):
            DirectServer(place / ("d" * 100) / "s.sock")

    def test_nobody_there(self, place: Path) -> None:
        """A socket that is not there is no answer."""
        with pytest.raises(UnansweredError, match="no scorer answers"):
            asyncio.run(ask(place / "none.sock", Question(operation="describe")))

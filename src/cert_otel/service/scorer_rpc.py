"""`cert.scorer.v1.Scorer`: scores for those who wait a little, and the trail for those who follow.

It stands in the receiver's process, behind the same port and tokens. What is submitted takes the
way of everything else: into the inbox, and from there into the trail, where its scores are found.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import grpc
import msgspec
from google.protobuf.duration_pb2 import Duration

from cert_otel.journal import decode_line
from cert_otel.records import SCHEMA_VERSION, Record
from cert_otel.service import places, trail
from cert_otel.service.direct import Question, UnansweredError, ask
from cert_otel.service.follow import Follower, Token, follow
from cert_otel.service.proto import scorer_pb2 as pb
from cert_otel.service.receiver.otlp_grpc import abort
from cert_otel.service.seen import find_places
from cert_otel.service.selection import select
from cert_otel.wire.otlp_proto import read_traces

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from cert_otel.records import ScoreStatus
    from cert_otel.service.follow import Waiting
    from cert_otel.service.inbox import Inbox
    from cert_otel.service.receiver.intake import Intake
    from cert_otel.service.receiver.otlp_grpc import Handler
    from cert_otel.service.seen import Place
    from cert_otel.service.settings import Settings

SERVICE: Final = "cert.scorer.v1.Scorer"
MAX_WAIT_S: Final = 30.0
"""Longer is not waited, whatever is asked for."""
DESCRIBE_PATIENCE_S: Final = 2.0
_BATCH_LINES: Final = 256
_DONE: Final = frozenset({"accepted", "empty"})
_STATUSES: Final[dict[ScoreStatus | None, pb.Status.ValueType]] = {
    "scored": pb.STATUS_SCORED,
    "skipped": pb.STATUS_SKIPPED,
    "error": pb.STATUS_ERROR,
    "deferred": pb.STATUS_DEFERRED,
    None: pb.STATUS_UNSPECIFIED,
}
_FIGURES: Final = (
    ("perplexity", "perplexity"),
    ("entropy_mean", "entropy_mean"),
    ("entropy_max", "entropy_max"),
    ("surprise_rate", "surprise_rate"),
    ("energy", "energy_mean"),
    ("energy_max", "energy_max"),
    ("steps", "steps"),
    ("tokens", "tokens"),
)


class ScorerService:
    """The three methods."""

    def __init__(self, settings: Settings, intake: Intake, inbox: Inbox, *, parts: int = 1) -> None:
        """Set up over what receives.

        Args:
            settings: All of them.
            intake: Takes requests.
            inbox: Says how long they wait.
            parts: How many workers there are.
        """
        self._intake = intake
        self._inbox = inbox
        self._socket = places.get_socket(settings)
        self._seen = places.get_seen(settings)
        self._trails = [places.get_trail(settings, part, parts) for part in range(parts)]
        self._follower = Follower(self._trails)

    async def submit(self, request: pb.SubmitRequest, context: Any) -> pb.SubmitResponse:
        """Accept spans durably, and wait for their scores for as long as is asked."""
        body = request.otlp_traces
        try:
            keys = await asyncio.to_thread(_list_keys, body)
        except Exception as problem:  # noqa: BLE001 - a host boundary: nothing of it is ours
            reason = str(problem) if isinstance(problem, ValueError) else type(problem).__name__
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"otlp_traces: {reason}")
            raise AssertionError("abort raises") from None
        wait_s = min(MAX_WAIT_S, request.wait.seconds + request.wait.nanos / 1e9)
        wanted = keys if wait_s > 0 else []
        async with self._follower.expect(wanted) as waiting:
            taken = await asyncio.to_thread(find_places, self._seen, wanted)
            answer = await self._intake.take("grpc", "traces", "protobuf", body, None)
            if answer.outcome not in _DONE:
                await abort(context, answer)
            await self._wait(waiting, taken, wait_s)
        return await self._answer(keys, waiting.lines, answer.row)

    async def _wait(self, waiting: Waiting, taken: Mapping[bytes, Place], wait_s: float) -> None:
        """Wait for records; those of spans that came before are in the trail already, or will be."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                if taken:
                    known = await asyncio.to_thread(self._find_known, taken)
                    for key, line in known.items():
                        waiting.add(key, line)
                await waiting.wait()

    def _find_known(self, taken: Mapping[bytes, Place]) -> dict[bytes, bytes]:
        return {
            bytes.fromhex(origin.key): line
            for row in {place.row for place in taken.values()}
            for origin, line in trail.find_records(self._trails[row % len(self._trails)], row)
        }

    async def _answer(
        self, keys: Sequence[bytes], lines: Mapping[bytes, bytes], row: int | None
    ) -> pb.SubmitResponse:
        scores = {
            key: score for key, line in lines.items() if (score := make_score(line)) is not None
        }
        return pb.SubmitResponse(
            inbox_token="" if row is None else str(row),
            scores=scores.values(),
            deferred=sum(key not in scores for key in keys),
            skipped=sum(score.status == pb.STATUS_SKIPPED for score in scores.values()),
            backlog=await asyncio.to_thread(self._find_backlog),
        )

    async def results(
        self, request: pb.ResultsRequest, context: Any
    ) -> AsyncIterator[pb.ResultBatch]:
        """Follow the trail behind a token, until the caller has enough."""
        try:
            token = Token.decode(request.resume_token, len(self._trails))
        except ValueError as problem:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"resume_token: {problem}")
            raise AssertionError("abort raises") from None
        max_lines = request.max_batch or _BATCH_LINES
        async for lines, behind in follow(self._trails, token, max_lines=max_lines):
            jsonl = [line.removesuffix(b"\n") for line in lines]
            yield pb.ResultBatch(jsonl=jsonl, resume_token=behind.encode())

    async def describe(self, _request: pb.DescribeRequest, _context: Any) -> pb.DescribeResponse:
        """Say who scores, and what is taken."""
        response = pb.DescribeResponse(
            max_message_bytes=self._intake.max_bytes, record_versions=[SCHEMA_VERSION]
        )
        try:
            answer = await ask(
                self._socket, Question(operation="describe"), timeout_s=DESCRIBE_PATIENCE_S
            )
        except UnansweredError:
            return response
        response.model = answer.scorer or ""
        response.revision = answer.revision or ""
        return response

    def make_handler(self) -> Handler:
        """Return what a gRPC server dispatches to."""
        unary, stream = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "Submit": unary(
                    self.submit, pb.SubmitRequest.FromString, pb.SubmitResponse.SerializeToString
                ),
                "Results": stream(
                    self.results, pb.ResultsRequest.FromString, pb.ResultBatch.SerializeToString
                ),
                "Describe": unary(
                    self.describe,
                    pb.DescribeRequest.FromString,
                    pb.DescribeResponse.SerializeToString,
                ),
            },
        )

    def _find_backlog(self) -> Duration | None:
        age_s = self._inbox.get_oldest_age_s()
        return None if age_s is None else Duration(seconds=int(age_s), nanos=int(age_s % 1 * 1e9))


def make_score(line: bytes) -> pb.SpanScore | None:
    """Make of a line of the trail what is answered; `None` of a span without ids."""
    record = decode_line(line)
    if not isinstance(record, Record) or not record.trace_id or not record.span_id:
        return None
    score = pb.SpanScore(
        trace_id=bytes.fromhex(record.trace_id),
        span_id=bytes.fromhex(record.span_id),
        status=_STATUSES[record.score_status],
        reason=record.score_reason or "",
        scorer=record.scorer or "",
        revision=record.scorer_revision or "",
        evaluations=[_make_evaluation(one) for one in _list_evaluations(record)],
    )
    if record.trajectory is not None:
        score.flags.extend(record.trajectory.flags)
        for name, field in _FIGURES:
            value = getattr(record.trajectory, field)
            if value is not None:
                setattr(score, name, value)
    return score


def _list_evaluations(record: Record) -> list[dict[str, Any]]:
    found = [msgspec.structs.asdict(one) for one in record.evaluations]
    if record.confidence is not None:
        label = "pass" if record.passed else "fail"
        found.append({"name": "confidence", "score": record.confidence, "label": label})
    return found


def _make_evaluation(one: dict[str, Any]) -> pb.Evaluation:
    evaluation = pb.Evaluation(name=one["name"], label=one.get("label") or "")
    if one["score"] is not None:
        evaluation.score = one["score"]
    elif (one.get("reason") or "").startswith("error: "):
        evaluation.error_type = one["reason"].removeprefix("error: ")
    return evaluation


def _list_keys(body: bytes) -> list[bytes]:
    """List the keys of the spans of a request that will be records."""
    return [span.key for span in select(read_traces(body), datetime.now(UTC)).spans]

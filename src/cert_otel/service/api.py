"""The JSON API: scores and evaluations of single texts, asked of a worker, recorded nowhere.

The severity of an error fixes the status: critical 503, high 500, medium 429, low 422. Besides these
there are only 401 without a token and 413 for what is too large.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import msgspec
from cachetools import LRUCache
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from cert_otel import __version__
from cert_otel.records import ContextItem, EvaluationRecord, Record
from cert_otel.service import places
from cert_otel.service.direct import Question, UnansweredError, ask
from cert_otel.service.guard import Guard

if TYPE_CHECKING:
    from cert_otel.errors import Severity
    from cert_otel.service.direct import Answer, Operation, Problem
    from cert_otel.service.metrics import Metrics
    from cert_otel.service.security import Tokens
    from cert_otel.service.settings import Settings

SERVICE: Final = "api"
"""Value of the label `service`."""
STATUSES: Final[dict[Severity, int]] = {"critical": 503, "high": 500, "medium": 429, "low": 422}
OPEN_PATHS: Final = frozenset({"/livez", "/readyz", "/openapi.json"})
"""Asked by probes, without a token."""
RETRY_AFTER_S: Final = 5
CACHED_TEXTS: Final = 1_000
PROBE_S: Final = 2.0
_TOO_LARGE: Final = 413
_BAD_REQUEST: Final = 400
_NO_IDS: Final[dict[str, Any]] = {"trace_id": "0" * 31 + "1", "span_id": "0" * 15 + "1"}
"""Of texts that belong to no trace; judges ask for some."""


class Failure(NamedTuple):
    """Why there is no answer."""

    type: str
    severity: Severity
    message: str


_PROBLEMS: Final[dict[Problem, Failure]] = {
    "loading": Failure("ModelNotLoaded", "critical", "the scorer is loading; ask again"),
    "busy": Failure("ScorerBusy", "medium", "the scorer has no time; ask again"),
    "disabled": Failure("Disabled", "low", "cert.yaml does not enable this"),
    "unreadable": Failure("InvalidInput", "low", "the scorer cannot read this"),
}

Text = Annotated[str, Field(min_length=1)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ScoreRequest(_Model):
    """A text, and what came before it."""

    completion: Text
    prompt: str | None = None
    messages: list[dict[str, Any]] | None = None
    """As in `gen_ai.input.messages`; in place of `prompt`."""


class Passage(_Model):
    """Something that an answer may rest on."""

    text: Text
    id: str | None = None
    source: str | None = None


class EvaluateRequest(_Model):
    """An answer, and what it may rest on."""

    answer: Text
    context: str | list[str | Passage] = []
    """Passages; a single text is one."""
    question: str | None = None


class ScoreResponse(BaseModel):
    """What the scoring model measured."""

    status: str
    reason: str | None
    trajectory: dict[str, Any] | None
    scorer: str
    revision: str | None


class EvaluateResponse(BaseModel):
    """What the evaluators found; a confidence of null is unknown."""

    status: str
    reason: str | None
    confidence: float | None
    threshold: float | None
    passed: bool | None
    evaluations: list[dict[str, Any]]
    scorer: str
    revision: str | None


class ErrorResponse(BaseModel):
    """Why there is no answer."""

    error: str
    severity: str
    message: str


_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": ErrorResponse} for status in (401, 413, 422, 429, 500, 503)
}


class _FailureError(Exception):
    """Ends a request."""

    def __init__(self, failure: Failure, status: int | None = None) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.status = status or STATUSES[failure.severity]


class Asking:
    """Asks the worker; what was asked before is not asked again."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        """Set up; nothing is asked yet."""
        self._socket = places.get_socket(settings)
        self._max_chars = settings.scorer.max_text_chars
        self._metrics = metrics
        self._known: LRUCache[bytes, EvaluationRecord] = LRUCache(CACHED_TEXTS)

    async def ask(self, operation: Operation, record: Record, *texts: str) -> EvaluationRecord:
        """Return the result of one text.

        Raises:
            _FailureError: There is none.
        """
        if sum(map(len, texts)) > self._max_chars:
            message = f"texts may have {self._max_chars:,} characters together"
            raise _FailureError(Failure("TooLarge", "low", message), _TOO_LARGE)
        key = operation.encode() + msgspec.json.encode(
            msgspec.structs.replace(record, timestamp=datetime.min.replace(tzinfo=UTC))
        )
        known = self._known.get(key)
        if known is not None:
            self._metrics.cache_hits.labels(operation).inc()
            return known
        answer = await self._ask_worker(Question(operation=operation, records=[record]), operation)
        (result,) = answer.results
        if result.score_status == "error":
            reason = result.score_reason or "unknown"
            raise _FailureError(Failure(reason, "high", "the scorer failed on this text"))
        self._known[key] = result
        return result

    async def is_ready(self) -> bool:
        """Whether a worker answers, its model loaded."""
        try:
            answer = await ask(self._socket, Question(operation="describe"), timeout_s=PROBE_S)
        except UnansweredError:
            return False
        return answer.problem is None

    async def _ask_worker(self, question: Question, operation: str) -> Answer:
        started_s = time.perf_counter()
        try:
            answer = await ask(self._socket, question)
        except UnansweredError as problem:
            raise _FailureError(Failure("NoScorer", problem.severity, str(problem))) from None
        self._metrics.duration_s.labels(SERVICE, operation).observe(time.perf_counter() - started_s)
        if answer.problem is not None:
            raise _FailureError(_PROBLEMS[answer.problem])
        return answer


def make_application(settings: Settings, tokens: Tokens, metrics: Metrics) -> Guard:
    """Make the ASGI application, behind tokens and a limit of size."""
    api = FastAPI(title="cert-otel scorer", version=__version__, docs_url=None, redoc_url=None)
    asking = Asking(settings, metrics)

    @api.post("/v1/score", response_model=ScoreResponse, responses=_RESPONSES)
    async def score(request: ScoreRequest) -> Any:
        """Score a text with the language model: how surprising is it after its prompt?"""
        record = Record(
            kind="inference",
            timestamp=datetime.now(UTC),
            input_data=request.prompt,
            input_messages=request.messages,
            output_data=request.completion,
            **_NO_IDS,
        )
        messages = map(str, request.messages or ())
        texts = (request.completion, request.prompt or "", *messages)
        found = await asking.ask("score", record, *texts)
        return _answer(metrics, _describe(found) | {"trajectory": _plain(found.trajectory)})

    @api.post("/v1/evaluate", response_model=EvaluateResponse, responses=_RESPONSES)
    async def evaluate(request: EvaluateRequest) -> Any:
        """Judge an answer against its context: is it borne out?"""
        given = [request.context] if isinstance(request.context, str) else request.context
        context = [_make_passage(passage) for passage in given]
        record = Record(
            kind="inference",
            timestamp=datetime.now(UTC),
            input_data=request.question,
            output_data=request.answer,
            context=[item for item in context if item.text] or None,
            **_NO_IDS,
        )
        texts = (request.answer, request.question or "", *(item.text for item in context))
        found = await asking.ask("evaluate", record, *texts)
        return _answer(
            metrics,
            _describe(found)
            | {
                "confidence": found.confidence,
                "threshold": found.threshold,
                "passed": found.passed,
                "evaluations": [_plain(one) for one in found.evaluations],
            },
        )

    @api.get("/livez", response_class=PlainTextResponse)
    async def livez() -> str:
        """Say that the process lives."""
        return "ok\n"

    @api.get(
        "/readyz",
        response_class=PlainTextResponse,
        responses={503: {"description": "No scorer is ready", "content": {"text/plain": {}}}},
    )
    async def readyz() -> PlainTextResponse:
        """Say whether the scorer can answer. OTLP is taken whether or not; its port has a probe."""
        if await asking.is_ready():
            return PlainTextResponse("ok\n")
        return PlainTextResponse("no scorer is ready\n", 503)

    @api.exception_handler(_FailureError)
    async def fail(_request: Request, error: _FailureError) -> Response:
        return _refuse(metrics, error.failure, error.status)

    @api.exception_handler(HTTPException)
    async def turn_away(_request: Request, error: HTTPException) -> Response:
        if error.status_code != _BAD_REQUEST:
            return JSONResponse({"detail": error.detail}, error.status_code, error.headers)
        failure = Failure("InvalidInput", "low", "the body is no JSON")
        return _refuse(metrics, failure, STATUSES[failure.severity])

    @api.exception_handler(RequestValidationError)
    async def refuse(_request: Request, error: RequestValidationError) -> Response:
        # Without the value: it may be a text, and need not be valid Unicode.
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        failure = Failure("InvalidInput", "low", f"{place}: {first['msg']}")
        return _refuse(metrics, failure, STATUSES[failure.severity])

    max_bytes = settings.receiver.max_message_mib * 2**20
    return Guard(api, tokens, max_bytes=max_bytes, open_paths=OPEN_PATHS)


def _answer(metrics: Metrics, content: dict[str, Any]) -> dict[str, Any]:
    metrics.requests.labels(SERVICE, content["status"]).inc()
    return content


def _refuse(metrics: Metrics, failure: Failure, status: int) -> Response:
    metrics.requests.labels(SERVICE, "error").inc()
    metrics.errors.labels(SERVICE, failure.type, failure.severity).inc()
    content = {
        "error": failure.type,
        "severity": failure.severity,
        "message": failure.message.encode(errors="replace").decode(),
    }
    waits = status in {429, 503}
    return JSONResponse(content, status, {"retry-after": str(RETRY_AFTER_S)} if waits else None)


def _describe(found: EvaluationRecord) -> dict[str, Any]:
    return {
        "status": found.score_status,
        "reason": found.score_reason,
        "scorer": found.scorer,
        "revision": found.scorer_revision,
    }


def _plain(value: Any) -> Any:
    return msgspec.to_builtins(value)


def _make_passage(passage: str | Passage) -> ContextItem:
    if isinstance(passage, str):
        return ContextItem(text=passage)
    return ContextItem(text=passage.text, id=passage.id, source=passage.source)

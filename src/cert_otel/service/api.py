"""The JSON API: scores and evaluations of single texts, asked of a worker, recorded nowhere.

The severity of an error fixes the status: critical 503, high 500, medium 429, low 422. Besides these
there are only 401 without a token, 408 for what does not arrive and 413 for what is too large.
"""

from __future__ import annotations

import hashlib
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
from cachetools import LRUCache
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.exceptions import HTTPException

from cert_otel import __version__
from cert_otel.service import places
from cert_otel.service.api_schema import (
    ErrorResponse,
    EvaluateRequest,
    EvaluateResponse,
    ScoreRequest,
    ScoreResponse,
)
from cert_otel.service.direct import Question, UnansweredError, ask
from cert_otel.service.guard import Guard
from cert_otel.service.settings import MEBIBYTE

if TYPE_CHECKING:
    from cert_otel.errors import Severity
    from cert_otel.records import EvaluationRecord, Record
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
_KEY_BYTES: Final = 16


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

_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": ErrorResponse} for status in (401, 408, 413, 422, 429, 500, 503)
}
_NOT_READY: Final[dict[int | str, dict[str, Any]]] = {
    503: {"description": "No scorer is ready", "content": {"text/plain": {}}}
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
        key = _make_key(operation, record)
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
    """Make the ASGI application, behind tokens and limits of size and time."""
    api = FastAPI(title="cert-otel scorer", version=__version__, docs_url=None, redoc_url=None)
    endpoints = _Endpoints(Asking(settings, metrics), metrics)
    endpoints.add_to(api)
    refusals = _Refusals(metrics)
    for kind, handler in (
        (_FailureError, refusals.fail),
        (HTTPException, refusals.turn_away),
        (RequestValidationError, refusals.refuse),
    ):
        api.add_exception_handler(kind, handler)
    return Guard(
        api,
        tokens,
        max_bytes=settings.receiver.max_message_mib * MEBIBYTE,
        timeout_s=settings.receiver.request_timeout_s,
        open_paths=OPEN_PATHS,
    )


class _Endpoints:
    """What is asked; names and docstrings are part of /openapi.json."""

    def __init__(self, asking: Asking, metrics: Metrics) -> None:
        self._asking = asking
        self._metrics = metrics

    def add_to(self, api: FastAPI) -> None:
        for path, endpoint, model in (
            ("/v1/score", self.score, ScoreResponse),
            ("/v1/evaluate", self.evaluate, EvaluateResponse),
        ):
            api.add_api_route(
                path, endpoint, methods=["POST"], response_model=model, responses=_RESPONSES
            )
        api.add_api_route("/livez", self.livez, response_class=PlainTextResponse)
        api.add_api_route(
            "/readyz", self.readyz, response_class=PlainTextResponse, responses=_NOT_READY
        )

    async def score(self, request: ScoreRequest) -> Any:
        """Score a text with the language model: how surprising is it after its prompt?"""
        found = await self._asking.ask("score", request.make_record(), *request.list_texts())
        return self._count(_describe(found) | {"trajectory": _plain(found.trajectory)})

    async def evaluate(self, request: EvaluateRequest) -> Any:
        """Judge an answer against its context: is it borne out?"""
        found = await self._asking.ask("evaluate", request.make_record(), *request.list_texts())
        judged = {
            "confidence": found.confidence,
            "threshold": found.threshold,
            "passed": found.passed,
            "evaluations": [_plain(one) for one in found.evaluations],
        }
        return self._count(_describe(found) | judged)

    async def livez(self) -> str:
        """Say that the process lives."""
        return "ok\n"

    async def readyz(self) -> PlainTextResponse:
        """Say whether the scorer can answer. OTLP is taken whether or not; its port has a probe."""
        if await self._asking.is_ready():
            return PlainTextResponse("ok\n")
        return PlainTextResponse("no scorer is ready\n", 503)

    def _count(self, content: dict[str, Any]) -> dict[str, Any]:
        self._metrics.requests.labels(SERVICE, content["status"]).inc()
        return content


class _Refusals:
    """What is answered where there is no result; each is counted."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def fail(self, _request: Request, error: Exception) -> Response:
        if not isinstance(error, _FailureError):
            raise error
        return self._answer(error.failure, error.status)

    async def turn_away(self, _request: Request, error: Exception) -> Response:
        if not isinstance(error, HTTPException):
            raise error
        if error.status_code != _BAD_REQUEST:
            return JSONResponse({"detail": error.detail}, error.status_code, error.headers)
        failure = Failure("InvalidInput", "low", "the body is no JSON")
        return self._answer(failure, STATUSES[failure.severity])

    async def refuse(self, _request: Request, error: Exception) -> Response:
        if not isinstance(error, RequestValidationError):
            raise error
        # Without the value: it may be a text, and need not be valid Unicode.
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        failure = Failure("InvalidInput", "low", f"{place}: {first['msg']}")
        return self._answer(failure, STATUSES[failure.severity])

    def _answer(self, failure: Failure, status: int) -> Response:
        self._metrics.requests.labels(SERVICE, "error").inc()
        self._metrics.errors.labels(SERVICE, failure.type, failure.severity).inc()
        content = {
            "error": failure.type,
            "severity": failure.severity,
            "message": failure.message.encode(errors="replace").decode(),
        }
        waits = status in {429, 503}
        return JSONResponse(content, status, {"retry-after": str(RETRY_AFTER_S)} if waits else None)


def _make_key(operation: Operation, record: Record) -> bytes:
    """Return what is equal for equal questions. A hash: a thousand texts may be a gigabyte."""
    timeless = msgspec.structs.replace(record, timestamp=datetime.min.replace(tzinfo=UTC))
    content = operation.encode() + msgspec.json.encode(timeless)
    return hashlib.blake2b(content, digest_size=_KEY_BYTES).digest()


def _describe(found: EvaluationRecord) -> dict[str, Any]:
    return {
        "status": found.score_status,
        "reason": found.score_reason,
        "scorer": found.scorer,
        "revision": found.scorer_revision,
    }


def _plain(value: Any) -> Any:
    return msgspec.to_builtins(value)

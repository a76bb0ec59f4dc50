"""A language model as judge, behind an endpoint that speaks OpenAI's chat completions.

Never asked unless it is named: it costs money and sends the texts to a server. Our own requests
are made under suppressed instrumentation, so that they are not taken for the application's.
"""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NamedTuple

import msgspec
from opentelemetry.instrumentation.utils import suppress_instrumentation

from cert_otel.config import get_config
from cert_otel.errors import BackendError, ConfigError
from cert_otel.evaluation._verdicts import Identity, Verdict, judge_batch, measure_safely
from cert_otel.evaluation.prompts import load_prompt, make_code
from cert_otel.evaluation.sample import Evidence
from cert_otel.scoring.backends.breaker import Breaker
from cert_otel.scoring.backends.endpoint import Endpoint, Job, RefusedError, check_url

if TYPE_CHECKING:
    from collections.abc import Sequence

    import httpx2

    from cert_otel.evaluation.sample import Judgement, Sample

PROMPT: Final = "judge-1"
THRESHOLD: Final = 0.5
MAX_REPLY_TOKENS: Final = 1_024
"""For the verdict and the stretches it quotes."""
UNAVAILABLE: Final = "judge_unavailable"
REFUSED: Final = "refused"
UNREADABLE: Final = "unreadable_reply"
CUT_OFF: Final = "reply_cut_off"

ReplyFormat = Literal["json_schema", "json_object", "none"]
"""What the server is asked for; not every one knows every format."""

_SCHEMA: Final = {
    "type": "object",
    "properties": {
        "unsupported": {"type": "array", "items": {"type": "string"}},
        "score": {"type": "number"},
    },
    "required": ["unsupported", "score"],
    "additionalProperties": False,
}
_FORMATS: Final[dict[ReplyFormat, dict[str, Any]]] = {
    "json_schema": {
        "type": "json_schema",
        "json_schema": {"name": "verdict", "strict": True, "schema": _SCHEMA},
    },
    "json_object": {"type": "json_object"},
    "none": {},
}

_logger = logging.getLogger(__name__)


class _Found(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the judge must reply: nothing more, nothing less."""

    unsupported: list[str]
    score: Annotated[float, msgspec.Meta(ge=0, le=1)]


class _Message(msgspec.Struct, frozen=True):
    content: str | None = None


class _Choice(msgspec.Struct, frozen=True):
    message: _Message
    finish_reason: str | None = None


class _Reply(msgspec.Struct, frozen=True):
    choices: Annotated[list[_Choice], msgspec.Meta(min_length=1)]


class _Connection(NamedTuple):
    url: str
    model: str
    concurrency: int
    endpoint: Endpoint


class JudgeEvaluator:
    """Asks a language model how far an answer is supported; thread-safe.

    The reply must be the JSON that was asked for: what cannot be read is skipped, not guessed.
    A server that fails five times in a row is left alone for 30 s.
    """

    name: Final = "judge"

    def __init__(
        self,
        base_url: str | None = None,
        model: str | None = None,
        *,
        api_key: str | None = None,
        requests_per_minute: int | None = None,
        concurrency: int | None = None,
        reply_format: ReplyFormat = "json_schema",
        threshold: float = THRESHOLD,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        """Set up; nothing is sent. What is `None` comes from `CERT_OTEL_JUDGE_*`.

        Args:
            base_url: Up to `/v1`, for instance `http://judge:8000/v1`.
            model: The name under which the server serves it.
            api_key: Sent as a bearer token, and never shown.
            requests_per_minute: More wait.
            concurrency: Requests that are under way at once, over all threads.
            reply_format: `none` for a server that knows no structured output.
            threshold: Of the label.
            transport: Of httpx2, for tests and proxies.
        """
        self._connect = cache(
            partial(
                _connect,
                base_url,
                model,
                api_key=api_key,
                requests_per_minute=requests_per_minute,
                concurrency=concurrency,
                transport=transport,
            )
        )
        self._connecting = threading.Lock()
        self._format: ReplyFormat = reply_format
        self._threshold = threshold
        self._prompt = load_prompt(PROMPT)
        self._breaker = Breaker()
        self._last_problem = ""

    def judge(self, samples: Sequence[Sample]) -> list[Judgement]:
        """Judge a batch: one judgement per sample, in order.

        Raises:
            ConfigError: When no endpoint or no model is named.
        """
        with self._connecting:
            connection = self._connect()
        identity = Identity(
            self.name, connection.model, f"{PROMPT} {self._prompt.hash}", self._threshold
        )
        return judge_batch(samples, partial(self._measure, connection=connection), identity)

    def close(self) -> None:
        """Close idle connections."""
        with self._connecting:
            if self._connect.cache_info().currsize:
                self._connect().endpoint.close()
                self._connect.cache_clear()

    def _measure(self, samples: Sequence[Sample], *, connection: _Connection) -> list[Verdict]:
        def measure(alone: Sequence[Sample]) -> list[Verdict]:
            return [self._ask_safely(sample, connection) for sample in alone]

        with ThreadPoolExecutor(connection.concurrency) as pool:
            # One by one from the start: no request is paid for twice because another failed.
            return [
                verdict
                for verdicts in pool.map(lambda one: measure_safely([one], measure), samples)
                for verdict in verdicts
            ]

    def _ask_safely(self, sample: Sample, connection: _Connection) -> Verdict:
        """Ask, if the server is not left alone at present."""
        if self._breaker.is_open():
            return Verdict(reason=UNAVAILABLE)
        try:
            reply = self._ask(sample, connection)
        except RefusedError:
            return Verdict(reason=REFUSED)
        except BackendError as problem:
            if str(problem) != self._last_problem:  # said once, not once a sample
                self._last_problem = str(problem)
                _logger.warning("%s", problem)
            self._breaker.tell(problem)
            return Verdict(reason=UNAVAILABLE)
        self._breaker.tell(None)
        return _read(reply.choices[0], sample.answer)

    def _ask(self, sample: Sample, connection: _Connection) -> _Reply:
        asked = _FORMATS[self._format]
        body = {
            "model": connection.model,
            "messages": self._make_messages(sample),
            "temperature": 0,
            "max_completion_tokens": MAX_REPLY_TOKENS,
            **({"response_format": asked} if asked else {}),
        }
        with suppress_instrumentation():
            return connection.endpoint.post(connection.url, body, _Reply, Job())

    def _make_messages(self, sample: Sample) -> list[dict[str, str]]:
        passages = [item.text for item in sample.context if item.text.strip()]
        context = "\n\n".join(f"[{index}] {text}" for index, text in enumerate(passages, 1))
        question = sample.question or "(none)"
        values = {
            "question": question,
            "context": context,
            "answer": sample.answer,
            "code": make_code(self._prompt, question, context, sample.answer),
        }
        clean = {name: text.encode(errors="replace").decode() for name, text in values.items()}
        return [
            {"role": "system", "content": self._prompt.system or ""},
            {"role": "user", "content": self._prompt.fill(clean)},
        ]


def _connect(
    base_url: str | None,
    model: str | None,
    *,
    api_key: str | None,
    requests_per_minute: int | None,
    concurrency: int | None,
    transport: httpx2.BaseTransport | None,
) -> _Connection:
    configured = get_config()
    url, asked = base_url or configured.judge_url, model or configured.judge_model
    if url is None:
        raise ConfigError(
            "CERT_OTEL_JUDGE_URL", "names no endpoint: the evaluator judge needs one, up to /v1"
        )
    if asked is None:
        raise ConfigError("CERT_OTEL_JUDGE_MODEL", "names no model for the evaluator judge")
    check_url("CERT_OTEL_JUDGE_URL", url)
    at_once = concurrency or configured.judge_concurrency
    endpoint = Endpoint(
        JudgeEvaluator.name,
        model=asked,
        # A key of the settings is for the endpoint of the settings.
        api_key=api_key or (configured.judge_api_key if base_url is None else None),
        concurrency=at_once,
        requests_per_minute=requests_per_minute or configured.judge_requests_per_minute,
        transport=transport,
    )
    return _Connection(f"{url.rstrip('/')}/chat/completions", asked, at_once, endpoint)


def _read(choice: _Choice, answer: str) -> Verdict:
    if choice.finish_reason == "length":
        return Verdict(reason=CUT_OFF)
    try:
        found = msgspec.json.decode(choice.message.content or "", type=_Found)
    except (msgspec.DecodeError, UnicodeError):
        return Verdict(reason=UNREADABLE)
    quoted = (_find(quotation, answer) for quotation in found.unsupported)
    return Verdict(score=found.score, evidence=tuple(one for one in quoted if one is not None))


def _find(quotation: str, answer: str) -> Evidence | None:
    """Return where a quotation stands; `None` if the judge did not copy it from the answer."""
    start = answer.find(quotation) if quotation.strip() else -1
    if start < 0:
        return None
    return Evidence(start=start, end=start + len(quotation), kind="span")

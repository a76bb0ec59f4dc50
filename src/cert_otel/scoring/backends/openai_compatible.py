"""A server that speaks OpenAI's completions API and tells logprobs of prompts: vLLM, SGLang.

For when one machine is not enough: it writes answers, and scores them. It cannot tell the entropy over the vocabulary, which stays
`None`; rank and the figures of the ten likeliest are there where the server sends them.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cert_otel.errors import BackendError
from cert_otel.scoring.backends import _completions
from cert_otel.scoring.backends.endpoint import Endpoint, Job, LateError, RefusedError, check_url
from cert_otel.scoring.backends.scored import (
    EMPTY,
    NOT_FINITE,
    REFUSED,
    TOO_LONG,
    Generated,
    Scored,
    TokenFigures,
    never,
    summarise_figures,
)
from cert_otel.scoring.packing import Piece, split_text
from cert_otel.scoring.prompts import NO_TEMPLATE, Sample, encode, flatten_messages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import httpx2
    from transformers import PreTrainedTokenizerBase

    from cert_otel.scoring.backends.scored import Request
    from cert_otel.scoring.prompts import Span

NAME: Final = "openai-compatible"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Text:
    """A request as tokens, or why it has none."""

    ids: tuple[int, ...] = ()
    scored_from: int = 0
    offsets: tuple[Span, ...] = ()
    form: str | None = None
    form_reason: str | None = None
    problem: Scored | None = None


class OpenAICompatibleBackend:
    """Scores by a server; may be called by several threads at once."""

    name: Final = NAME

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key: str | None = None,
        protocol: _completions.Protocol = "prompt_logprobs",
        tokenizer: PreTrainedTokenizerBase | None = None,
        batch_size: int = 16,
        concurrency: int = 8,
        requests_per_minute: int | None = None,
        attempts: int = 3,
        transport: httpx2.BaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Set up; nothing is sent.

        Args:
            base_url: Up to `/v1`, for instance `http://scorer:8000/v1`.
            model: The name under which the server serves it.
            api_key: Sent as a bearer token.
            protocol: How the server is asked: `prompt_logprobs` is vLLM's, `echo` everybody's.
            tokenizer: The model's own, if it is at hand; else the server's `/tokenize` is asked.
            batch_size: Texts in one request.
            concurrency: Requests that are under way at once, over all threads.
            requests_per_minute: `None` is no limit.
            attempts: Of a request that fails for a reason that may pass.
            transport: Of httpx2, for tests and proxies.
            clock: Deadlines are readings of it.
        """
        check_url("base_url", base_url)
        self.model = model
        self.configuration = f"{NAME} {base_url} {model} {protocol}"
        self._url = base_url.rstrip("/")
        self._protocol: _completions.Protocol = protocol
        self._tokenizer = tokenizer
        self._tokenizing = threading.Lock()
        self._batch_size = batch_size
        self._workers = concurrency
        self._endpoint = Endpoint(
            NAME,
            model=model,
            api_key=api_key,
            concurrency=concurrency,
            requests_per_minute=requests_per_minute,
            attempts=attempts,
            transport=transport,
            clock=clock,
        )
        self._window: int | None = None

    def score(
        self,
        requests: Sequence[Request],
        *,
        deadline: float | None = None,
        is_cancelled: Callable[[], bool] = never,
    ) -> list[Scored]:
        """Score requests: one result each, in order.

        Raises:
            BackendError: The server does not answer, or not in this protocol.
        """
        job = Job(deadline, is_cancelled)
        with ThreadPoolExecutor(self._workers) as pool:
            texts = list(pool.map(lambda one: self._encode(one.sample, job), requests))
            pieces = [
                piece
                for owner, text in enumerate(texts)
                if text.problem is None
                for piece in self._split(owner, text)
            ]
            batches = list(_slice(pieces, self._batch_size))
            answers = list(pool.map(lambda batch: self._ask(batch, job), batches))
        found = {
            id(piece): answer
            for batch, batch_answers in zip(batches, answers, strict=True)
            for piece, answer in zip(batch, batch_answers, strict=True)
        }
        return [
            text.problem
            or self._finish(text, [found[id(piece)] for piece in pieces if piece.owner == owner])
            for owner, text in enumerate(texts)
        ]

    def generate(
        self,
        prompts: Sequence[str],
        *,
        max_new_tokens: int,
        temperature: float,
        deadline: float | None = None,
        is_cancelled: Callable[[], bool] = never,
    ) -> list[Generated]:
        """Write a completion of each prompt, in order; at the deadline the server is told to end.

        Raises:
            BackendError: The server does not answer, or not in this protocol.
        """
        job = Job(deadline, is_cancelled)
        sampling = {"max_tokens": max_new_tokens, "temperature": temperature}
        with ThreadPoolExecutor(self._workers) as pool:
            return list(pool.map(lambda prompt: self._write(prompt, sampling, job), prompts))

    def close(self) -> None:
        """Close idle connections."""
        self._endpoint.close()

    def _encode(self, sample: Sample, job: Job) -> _Text:
        if not sample.completion:
            return _Text(problem=_skip(EMPTY))
        try:
            if self._tokenizer is None:
                return self._encode_there(sample, job)
            with self._tokenizing:  # tokenizers keep state: two threads at once raise
                return _encode_here(self._tokenizer, sample)
        except LateError as late:
            return _Text(problem=_skip(str(late)))
        except RefusedError as refusal:
            return _Text(problem=_fail(REFUSED, str(refusal)))
        except (TypeError, ValueError, AttributeError) as problem:
            return _Text(problem=_fail(f"tokenizer: {type(problem).__name__}: {problem}", None))

    def _encode_there(self, sample: Sample, job: Job) -> _Text:
        completion = self._tokenize({"prompt": sample.completion, "add_special_tokens": False}, job)
        prompt, form, reason = self._encode_prompt(sample, job)
        # Without anything before it, the first token is predicted by nothing.
        first = len(prompt) or 1
        ids = (*prompt, *completion)
        return _Text(ids=ids, scored_from=first, form=form, form_reason=reason or None)

    def _encode_prompt(self, sample: Sample, job: Job) -> tuple[list[int], str, str]:
        """Return what stands before the answer, its form, and why that is no chat."""
        messages, joined = flatten_messages(sample)
        form, reason = "joined", "no prompt"
        prompt: list[int] | None = None
        if messages:
            body: dict[str, Any] = {"messages": messages, "add_generation_prompt": True}
            if sample.tools:
                body["tools"] = list(sample.tools)
            try:
                prompt, form, reason = self._tokenize(body, job), "chat", ""
            except RefusedError as refusal:
                reason = f"{NO_TEMPLATE}, or the server refused it: {refusal}"
        if prompt is None:
            prompt = self._tokenize({"prompt": joined, "add_special_tokens": True}, job)
        return prompt, form, reason

    def _tokenize(self, body: dict[str, Any], job: Job) -> list[int]:
        url = self._url.removesuffix("/v1") + "/tokenize"
        reply = self._endpoint.post(url, {"model": self.model, **body}, _completions.Tokenized, job)
        if reply.max_model_len is not None:
            self._window = reply.max_model_len - 1  # one token is generated
        return reply.tokens

    def _write(self, prompt: str, sampling: dict[str, Any], job: Job) -> Generated:
        pieces: list[str] = []
        try:
            ids = self._encode_question(prompt, job)
            limit = max(self._window + 1 - sampling["max_tokens"], 0) if self._window else None
            if limit is not None and len(ids) > limit:
                return Generated(None, len(ids), TOO_LONG, limit)
            body = {"model": self.model, "prompt": ids, "stream": True, **sampling}
            with closing(self._endpoint.stream(f"{self._url}/completions", body, job)) as lines:
                pieces.extend(_completions.read_events(lines))
        except LateError as late:
            return Generated(None, len(pieces), str(late))
        except RefusedError as refusal:
            raise BackendError(NAME, str(refusal)) from refusal
        except ValueError as problem:
            raise BackendError(NAME, f"{self._url}: {problem}") from problem
        return Generated("".join(pieces), len(pieces))

    def _encode_question(self, prompt: str, job: Job) -> list[int]:
        sample = Sample(prompt=prompt, completion="")
        if self._tokenizer is None:
            return self._encode_prompt(sample, job)[0]
        with self._tokenizing:
            ids: list[int] = encode(self._tokenizer, [sample])[0].ids.tolist()
            return ids

    def _split(self, owner: int, text: _Text) -> list[Piece]:
        ids = np.asarray(text.ids, dtype=np.int64)
        window = self._window or max(len(ids), 1)
        return split_text(owner, ids, text.scored_from, window=window, overlap=window // 2)

    def _ask(self, batch: Sequence[Piece], job: Job) -> list[TokenFigures | Scored]:
        prompts = [piece.ids.tolist() for piece in batch]
        body = _completions.make_request(self.model, prompts, self._protocol)
        try:
            reply = self._endpoint.post(
                f"{self._url}/completions", body, _completions.Completions, job
            )
        except LateError as late:
            return [_skip(str(late))] * len(batch)
        except RefusedError as refusal:
            if len(batch) == 1:
                return [_fail(REFUSED, str(refusal))]
            # One text that is refused must not take its neighbours along.
            return [answer for piece in batch for answer in self._ask([piece], job)]
        return self._read(reply, batch)

    def _read(
        self, reply: _completions.Completions, batch: Sequence[Piece]
    ) -> list[TokenFigures | Scored]:
        choices = {choice.index: choice for choice in reply.choices}
        try:
            return [
                _completions.read_figures(choices[index], piece.ids.tolist(), piece.scored_from)
                for index, piece in enumerate(batch)
            ]
        except KeyError as missing:
            raise BackendError(NAME, f"{self._url}: the reply has no choice {missing}") from None
        except ValueError as problem:
            raise BackendError(NAME, f"{self._url}: {problem}") from problem

    def _finish(self, text: _Text, answers: Sequence[TokenFigures | Scored]) -> Scored:
        problem = next((answer for answer in answers if isinstance(answer, Scored)), None)
        if problem is not None:
            return problem
        parts = [answer for answer in answers if isinstance(answer, TokenFigures)]
        if not parts:
            return _skip(EMPTY)
        figures = _concatenate(parts)
        if not np.isfinite(figures.nll).all():
            return _fail(NOT_FINITE, "a token of the answer has the probability 0")
        return Scored(
            status="scored",
            backend=NAME,
            scorer=self.model,
            score=summarise_figures(figures),
            tokens=figures,
            offsets=text.offsets,
            form=text.form,
            form_reason=text.form_reason,
            pieces=len(parts),
        )


def _encode_here(tokenizer: PreTrainedTokenizerBase, sample: Sample) -> _Text:
    encoded = encode(tokenizer, [sample])[0]
    return _Text(
        ids=tuple(encoded.ids.tolist()),
        scored_from=encoded.scored_from,
        offsets=encoded.offsets,
        form=encoded.form,
        form_reason=encoded.reason,
    )


def _concatenate(parts: Sequence[TokenFigures]) -> TokenFigures:
    if len(parts) == 1:
        return parts[0]
    columns: dict[str, Any] = {}
    for name in TokenFigures.__slots__:
        pieces = [getattr(part, name) for part in parts]
        columns[name] = None if any(one is None for one in pieces) else np.concatenate(pieces)
    return TokenFigures(**columns)


def _slice(pieces: Sequence[Piece], size: int) -> Iterator[Sequence[Piece]]:
    for begin in range(0, len(pieces), size):
        yield pieces[begin : begin + size]


def _skip(reason: str) -> Scored:
    return Scored(status="skipped", backend=NAME, reason=reason)


def _fail(reason: str, detail: str | None) -> Scored:
    return Scored(status="error", backend=NAME, reason=reason, detail=detail)

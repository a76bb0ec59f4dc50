"""The wire format of `POST /v1/completions` where a server tells logprobs of a prompt.

Pure: replies to figures. vLLM answers `prompt_logprobs`; SGLang and others answer the `logprobs`
of an echoed prompt, which name tokens by their text and know no rank.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import msgspec
import numpy as np

from cert_otel.scoring.backends.scored import TokenFigures
from cert_otel.scoring.token_scores import TOP_K

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Protocol = Literal["prompt_logprobs", "echo"]

_CLAMPED: Final = -9999.0
"""What servers send for minus infinity, which JSON has not."""
_TWO: Final = 2


class TokenLogprob(msgspec.Struct, frozen=True):
    """One candidate of one position."""

    logprob: float
    rank: int | None = None
    """1 is the likeliest of the vocabulary."""


class EchoedLogprobs(msgspec.Struct, frozen=True):
    """Logprobs of prompt and completion, position by position."""

    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None] | None = None


class Choice(msgspec.Struct, frozen=True):
    """One prompt's part of a reply."""

    index: int
    text: str = ""
    prompt_logprobs: list[dict[str, TokenLogprob] | None] | None = None
    logprobs: EchoedLogprobs | None = None


class Completions(msgspec.Struct, frozen=True):
    """A reply."""

    choices: list[Choice]
    model: str | None = None


class _Event(msgspec.Struct, frozen=True):
    """A part of a text that is being written."""

    choices: list[Choice] = []
    error: Any = None


class Tokenized(msgspec.Struct, frozen=True):
    """A reply of `POST /tokenize`."""

    tokens: list[int]
    max_model_len: int | None = None


class _Position(NamedTuple):
    logprob: float
    rank: int | None
    top: tuple[float, ...]
    """Logprobs of the likeliest, descending."""


_EVENT: Final = "data:"
_LAST: Final = "[DONE]"


def read_events(lines: Iterable[str]) -> Iterator[str]:
    """Yield the parts of a text that is being written, for one prompt.

    Raises:
        ValueError: A line is no part of a completion or tells of an error, or the end is missing.
    """
    for line in lines:
        if line.startswith(_EVENT):  # others are empty, or comments that keep the connection
            if line.endswith(_LAST):
                return
            yield from _read_event(line)
    raise ValueError("the server ended its answer in the middle")


def _read_event(line: str) -> list[str]:
    try:
        event = msgspec.json.decode(line.removeprefix(_EVENT), type=_Event)
    except msgspec.DecodeError as error:
        raise ValueError(f"not the event that was expected: {error}") from error
    if event.error is not None:
        raise ValueError(f"the server ended its answer: {event.error}")
    return [choice.text for choice in event.choices if choice.text]


def make_request(model: str, prompts: list[list[int]], protocol: Protocol) -> dict[str, Any]:
    """Return the body that asks for the logprobs of prompts, as tokens.

    One token is generated and thrown away: without `echo`, vLLM refuses to generate none.
    """
    asked: dict[str, Any] = (
        {"prompt_logprobs": TOP_K}
        if protocol == "prompt_logprobs"
        else {"echo": True, "logprobs": TOP_K}
    )
    return {"model": model, "prompt": prompts, "max_tokens": 1, "temperature": 0, **asked}


def read_figures(choice: Choice, ids: list[int], scored_from: int) -> TokenFigures:
    """Read the figures of the tokens of a prompt from `scored_from` on.

    Raises:
        ValueError: The reply does not have them.
    """
    if choice.prompt_logprobs is not None:
        positions = _read_prompt(choice.prompt_logprobs, ids)
    elif choice.logprobs is not None:
        positions = _read_echo(choice.logprobs, len(ids))
    else:
        raise ValueError(
            "the reply has no logprobs of the prompt; protocol='echo' is for servers that do not "
            "know prompt_logprobs, such as SGLang"
        )
    scored = positions[scored_from:]
    found = [position for position in scored if position is not None]
    if len(found) < len(scored):
        raise ValueError(f"the reply leaves out {len(scored) - len(found)} logprobs of the answer")
    return _to_figures(found)


def _read_prompt(
    logprobs: list[dict[str, TokenLogprob] | None], ids: list[int]
) -> list[_Position | None]:
    _check_length(len(logprobs), len(ids))
    return [
        None if entry is None else _read_entry(entry, token)
        for entry, token in zip(logprobs, ids, strict=False)
    ]


def _read_entry(entry: dict[str, TokenLogprob], token: int) -> _Position:
    own = entry.get(str(token))
    if own is None:
        raise ValueError(f"the reply has no logprob of token {token}, which is in the prompt")
    top = sorted((candidate.logprob for candidate in entry.values()), reverse=True)[:TOP_K]
    return _Position(own.logprob, own.rank, tuple(top))


def _read_echo(logprobs: EchoedLogprobs, length: int) -> list[_Position | None]:
    _check_length(len(logprobs.token_logprobs), length)
    tops = logprobs.top_logprobs or [None] * len(logprobs.token_logprobs)
    return [
        None if own is None else _Position(own, None, _sort_echoed(top))
        for own, top in zip(logprobs.token_logprobs[:length], tops, strict=False)
    ]


def _sort_echoed(top: dict[str, float] | None) -> tuple[float, ...]:
    """Return the likeliest; too few where tokens of one text have overwritten each other."""
    return tuple(sorted((top or {}).values(), reverse=True)[:TOP_K])


def _check_length(answered: int, asked: int) -> None:
    if answered < asked:
        raise ValueError(f"the reply has logprobs of {answered} tokens for a prompt of {asked}")


def _to_figures(positions: list[_Position]) -> TokenFigures:
    own = _clamp([position.logprob for position in positions])
    ranks = [position.rank for position in positions]
    width = min((len(position.top) for position in positions), default=0)
    top = _clamp([position.top[:width] for position in positions]).reshape(len(own), width)
    columns: dict[str, Any] = {"nll": _to_float32(-own)}
    if None not in ranks:
        columns["rank"] = np.asarray(ranks, dtype=np.int32)
    if width >= _TWO:
        p = np.exp(top[:, :2])
        columns["prob_gap"] = _to_float32(p[:, 0] - p[:, 1])
        columns["logit_gap"] = _to_float32(top[:, 0] - top[:, 1])
        columns["margin"] = _to_float32(np.maximum(top[:, 0] - own, 0))
    if width >= TOP_K:
        mass = np.exp(top).sum(axis=1)
        share = np.exp(top) / mass[:, None]
        columns["tail_mass"] = _to_float32(np.clip(1 - mass, 0, 1))
        columns["topk_entropy"] = _to_float32(np.log(mass) - (share * top).sum(axis=1))
    return TokenFigures(**columns)


def _clamp(logprobs: list[Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    values = np.asarray(logprobs, dtype=np.float64)
    return np.where(values <= _CLAMPED, -np.inf, values)


def _to_float32(values: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.float32]]:
    return values.astype(np.float32)

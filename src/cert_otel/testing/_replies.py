"""What the fake provider is told to answer, and what it was asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from email import message_from_bytes
from functools import cached_property
from typing import Any, Literal

from cert_otel.testing._tokens import split_tokens

Fault = Literal["cut", "error_event", "null_index"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a function that the fake model asks for."""

    name: str
    arguments: str | Mapping[str, Any] = "{}"
    """JSON text, sent as it is (broken JSON too), or an object."""

    @property
    def arguments_json(self) -> str:
        """The arguments as they go over the wire."""
        return self.arguments if isinstance(self.arguments, str) else json.dumps(self.arguments)


@dataclass(frozen=True, slots=True)
class Reply:
    """One scripted answer; the same reply serves every endpoint.

    Example:
        >>> Reply("Paris.", logprobs=[-0.1, -0.4], cached_tokens=64)  # doctest: +ELLIPSIS
        Reply(text='Paris.', ...)
        >>> Reply(status=429).status
        429
    """

    text: str | None = None
    """The answer; of a `status` from 400 on, the error message."""
    _: KW_ONLY
    alternatives: Sequence[str] = ()
    """Texts of the second, third … choice when `n` asks for them; else they repeat `text`."""
    tool_calls: Sequence[ToolCall] = ()
    refusal: str | None = None
    reasoning: str | None = None
    """Billed as reasoning tokens; a summary item where the Responses API is asked for one."""
    model: str | None = None
    """The model that answers; else the dated snapshot of the one that was asked."""
    finish_reason: str | None = None
    logprobs: Sequence[float] | None = None
    """One for each token of `text`; sent only when asked for. Else derived from the tokens."""
    usage: Mapping[str, Any] | None = None
    """Sent as it is, in the endpoint's own shape. Else counted by the token rule."""
    send_usage: bool = True
    cached_tokens: int = 0
    """The part of the counted prompt tokens that is reported as read from the cache."""
    service_tier: str | None = None
    system_fingerprint: str | None = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    patch: Mapping[str, Any] = field(default_factory=dict)
    """Top-level fields that replace generated ones, in each chunk of a stream as well; in an
    error body, the fields of the error; for Responses, those of the final response object."""
    delay_s: float = 0.0
    """Before the response starts."""
    chunk_delay_s: float = 0.0
    """Before each chunk of a stream."""
    fault: Fault | None = None
    """`cut` drops the connection in the middle of the body; `error_event` ends a stream with
    the provider's error event; `null_index` sends a chat chunk whose choice has no index."""
    fault_after: int = 2
    """How many events of a stream are sent before the fault."""

    def __post_init__(self) -> None:
        tokens = split_tokens(self.text or "")
        if self.logprobs is not None and len(self.logprobs) != len(tokens):
            raise ValueError(
                f"{len(self.logprobs)} logprobs for {len(tokens)} tokens of text: {tokens}"
            )


@dataclass(frozen=True)
class RecordedRequest:
    """One request as it arrived, byte for byte."""

    number: int
    """Counted from 1 in the order of arrival; the answer's ids are made from it."""
    method: str
    host: str
    """Whom the client addressed: not the loopback address when it was routed here."""
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    @cached_property
    def json(self) -> Any:
        """The body as JSON, `None` when it is not."""
        if not self.headers.get("content-type", "").startswith("application/json"):
            return None
        return json.loads(self.body) if self.body else None

    @cached_property
    def form(self) -> Mapping[str, Any]:
        """The fields of a multipart body: texts, lists of texts, and bytes for files."""
        kind = self.headers.get("content-type", "")
        if not kind.startswith("multipart/form-data"):
            return {}
        document = message_from_bytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + self.body)
        return dict(_read_parts(document.get_payload()))

    @property
    def fields(self) -> Mapping[str, Any]:
        """What was asked, from JSON or form."""
        return self.json if isinstance(self.json, dict) else self.form


Answers = Sequence[Reply | str] | Callable[[RecordedRequest], Reply | str | None]
"""Replies in the order of the requests, or a function; `None` from it is the canned answer."""


def _read_parts(parts: Any) -> Iterable[tuple[str, Any]]:
    lists: dict[str, list[str]] = {}
    for part in parts:
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if part.get_filename() is not None:
            yield name, content
            yield "filename", part.get_filename()
        elif name.endswith("[]"):
            lists.setdefault(name[:-2], []).append(content.decode())
        else:
            yield name, content.decode()
    yield from lists.items()

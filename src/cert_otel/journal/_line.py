"""One line into what it is: a record, an evaluation, or what another format holds."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any, Final

import msgspec

from cert_otel.records import SCHEMA_VERSION, EvaluationRecord, Record, Tokens

if TYPE_CHECKING:
    from cert_otel.journal._foreign import Foreign

_COUNTED_KINDS: Final = frozenset({"inference", "embedding"})

# Before 0.21, msgspec's own errors are no ValueError.
_NO_JSON: Final = (msgspec.DecodeError, ValueError, RecursionError)
_RECORD: Final = msgspec.json.Decoder(Record)
_EVALUATION: Final = msgspec.json.Decoder(EvaluationRecord)
_FORMER_TOKENS: Final = (
    ("prompt", ("prompt", "prompt_tokens", "input_tokens")),
    ("completion", ("completion", "completion_tokens", "output_tokens")),
)
"""Where CERT had the counts: in `metadata.tokens`."""


class _Head(msgspec.Struct):
    """As much of a line as says what it is."""

    v: Any = SCHEMA_VERSION
    kind: Any = None


def decode_line(line: bytes) -> Record | EvaluationRecord | Foreign:
    """Decode one line; fields that this version does not know are passed over.

    Raises:
        ValueError: It is none of what is read here; the message says why.
    """
    try:
        return _settle(_RECORD.decode(line))
    except msgspec.ValidationError as error:
        return _decode_other(line, str(error))
    except OverflowError:
        raise ValueError("not a record: its timestamp is out of range") from None
    except _NO_JSON as error:
        # What json.dumps writes and JSON forbids, as NaN, others' lines may have.
        foreign = _read_foreign(line)
        if foreign is None:
            raise ValueError(_explain_no_json(line, error)) from None
        return foreign


def _decode_other(line: bytes, why_no_record: str) -> EvaluationRecord | Foreign:
    try:
        head = msgspec.json.decode(line, type=_Head)
    except msgspec.ValidationError:
        raise ValueError("not a JSON object") from None
    except _NO_JSON as error:
        raise ValueError(_explain_no_json(line, error)) from None
    if isinstance(head.v, int) and head.v > SCHEMA_VERSION:
        raise ValueError(
            f"of version {head.v}, which a newer cert-otel wrote; this one reads {SCHEMA_VERSION}"
        )
    if head.kind is None and (foreign := _read_foreign(line)) is not None:
        return foreign
    if head.kind != "evaluation":
        raise ValueError(f"not a record: {why_no_record}")
    try:
        return _EVALUATION.decode(line)
    except msgspec.ValidationError as error:
        raise ValueError(f"not an evaluation: {error}") from None


def _read_foreign(line: bytes) -> Foreign | None:
    if not line.lstrip().startswith(b"{"):
        return None
    from cert_otel.journal._foreign import read_foreign  # noqa: PLC0415 - see its docstring

    return read_foreign(line)


def _explain_no_json(line: bytes, error: Exception) -> str:
    try:
        line.decode()
    except UnicodeDecodeError:
        return "not UTF-8 text"
    return f"not JSON: {error}"


def _settle(record: Record) -> Record:
    """Bring the timestamp to UTC and CERT's own fields to the top level."""
    changes: dict[str, Any] = {}
    if record.timestamp.tzinfo is None:
        changes["timestamp"] = record.timestamp.replace(tzinfo=UTC)
    elif record.timestamp.tzinfo is not UTC:
        changes["timestamp"] = record.timestamp.astimezone(UTC)
    if record.kind in _COUNTED_KINDS and record.tokens is None and "tokens" in record.metadata:
        changes["tokens"] = _find_former_tokens(record.metadata["tokens"])
    if record.latency_ms is None and "latency_ms" in record.metadata:
        changes["latency_ms"] = _find_former_latency(record.metadata["latency_ms"])
    return msgspec.structs.replace(record, **changes) if changes else record


def _find_former_tokens(tokens: Any) -> Tokens | None:
    if not isinstance(tokens, dict):
        return None
    counts = {
        field: next((tokens[n] for n in names if type(tokens.get(n)) is int), None)
        for field, names in _FORMER_TOKENS
    }
    return Tokens(**counts) if any(count is not None for count in counts.values()) else None


def _find_former_latency(latency_ms: Any) -> float | None:
    return float(latency_ms) if type(latency_ms) in (int, float) else None

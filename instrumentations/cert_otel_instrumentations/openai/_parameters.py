"""Request parameters that the conventions have a name for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cert_otel import semconv
from cert_otel.capture import clean_tree
from cert_otel_instrumentations.openai._fields import as_list, as_text, get, get_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cert_otel.capture import Call

_HUGE: Final = 2**63
"""Beyond it no exporter can send an integer; false of NaN and the infinities as well."""
_OUTPUT_TYPES: Final = {"json_object": "json", "json_schema": "json", "text": "text"}


def read_parameters(call: Call, request: dict[str, Any]) -> None:
    """Set what was asked for; a parameter of an unexpected type is left out."""
    # By what is there: of the many parameters a request has few.
    for name, value in request.items():
        read = _READERS.get(name)
        if read is not None:
            read(call, value)


def _number(attribute: str, kind: type[float]) -> Callable[[Call, Any], None]:
    """Return what reads a parameter that is a number."""

    def read(call: Call, value: Any) -> None:
        if type(value) in (int, float) and -_HUGE < value < _HUGE:
            call.attributes[attribute] = kind(value)

    return read


def _read_choice_count(call: Call, count: Any) -> None:
    if isinstance(count, int) and count > 1:
        call.attributes[semconv.REQUEST_CHOICE_COUNT] = count


def _read_stop(call: Call, stop: Any) -> None:
    stops = [stop] if isinstance(stop, str) else as_list(stop)
    if stops:
        call.attributes[semconv.REQUEST_STOP_SEQUENCES] = clean_tree([str(s) for s in stops])


def _read_tier(call: Call, tier: Any) -> None:
    if isinstance(tier, str) and tier != "auto":
        call.attributes[semconv.OPENAI_REQUEST_SERVICE_TIER] = tier


def _read_effort(call: Call, effort: Any) -> None:
    if isinstance(effort, str):
        call.attributes[semconv.REQUEST_REASONING_LEVEL] = effort


def _read_format(call: Call, response_format: Any) -> None:
    kind = _OUTPUT_TYPES.get(str(get(response_format, "type")))
    if kind is not None:
        call.attributes[semconv.OUTPUT_TYPE] = kind


def _read_user(call: Call, user: Any) -> None:
    call.user = call.user or as_text(user)


def _read_safety_identifier(call: Call, identifier: Any) -> None:
    call.user = as_text(identifier) or call.user  # `user` is its older name


_READERS: Final[Mapping[str, Callable[[Call, Any], None]]] = {
    "temperature": _number(semconv.REQUEST_TEMPERATURE, float),
    "top_p": _number(semconv.REQUEST_TOP_P, float),
    "frequency_penalty": _number(semconv.REQUEST_FREQUENCY_PENALTY, float),
    "presence_penalty": _number(semconv.REQUEST_PRESENCE_PENALTY, float),
    "max_tokens": _number(semconv.REQUEST_MAX_TOKENS, int),
    "max_completion_tokens": _number(semconv.REQUEST_MAX_TOKENS, int),
    "max_output_tokens": _number(semconv.REQUEST_MAX_TOKENS, int),
    "seed": _number(semconv.REQUEST_SEED, int),
    "n": _read_choice_count,
    "stop": _read_stop,
    "service_tier": _read_tier,
    "reasoning_effort": _read_effort,
    "reasoning": lambda call, reasoning: _read_effort(call, get(reasoning, "effort")),
    "response_format": _read_format,
    "text": lambda call, text: _read_format(call, get(text, "format")),
    "user": _read_user,
    "safety_identifier": _read_safety_identifier,
}
"""Chat's names, and those of Responses for the same."""


def read_identity(call: Call, fields: Mapping[str, Any]) -> None:
    """Set which reply it is, and which model, tier and build answered."""
    response_id = fields.get("id")
    if response_id and isinstance(response_id, str):
        call.response_id = response_id
    model = fields.get("model")
    if model and isinstance(model, str):
        call.response_model = model
    read_service(call, fields)


def read_error(call: Call, fields: Mapping[str, Any]) -> None:
    """Set the error that an event reports in place of a chunk."""
    error = fields.get("error")
    if error:
        call.error_type = get_text(error, "code") or get_text(error, "type") or "error"


def read_service(call: Call, fields: Mapping[str, Any]) -> None:
    """Set which tier and which build answered."""
    tier = fields.get("service_tier")
    if tier and isinstance(tier, str):
        call.service_tier = tier
        call.attributes[semconv.OPENAI_RESPONSE_SERVICE_TIER] = tier
    fingerprint = fields.get("system_fingerprint")
    if fingerprint and isinstance(fingerprint, str):
        call.attributes[semconv.OPENAI_RESPONSE_SYSTEM_FINGERPRINT] = fingerprint

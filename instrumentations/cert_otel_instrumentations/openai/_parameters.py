"""Request parameters that the conventions have a name for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cert_otel import semconv
from cert_otel_instrumentations.openai._fields import get, get_text

if TYPE_CHECKING:
    from cert_otel.capture import Call

_NUMBERS: Final = (
    ("temperature", semconv.REQUEST_TEMPERATURE, float),
    ("top_p", semconv.REQUEST_TOP_P, float),
    ("frequency_penalty", semconv.REQUEST_FREQUENCY_PENALTY, float),
    ("presence_penalty", semconv.REQUEST_PRESENCE_PENALTY, float),
    ("max_tokens", semconv.REQUEST_MAX_TOKENS, int),
    ("max_completion_tokens", semconv.REQUEST_MAX_TOKENS, int),
    ("max_output_tokens", semconv.REQUEST_MAX_TOKENS, int),
    ("seed", semconv.REQUEST_SEED, int),
)
_OUTPUT_TYPES: Final = {"json_object": "json", "json_schema": "json", "text": "text"}


def read_parameters(call: Call, request: dict[str, Any]) -> None:
    """Set what was asked for; a parameter of an unexpected type is left out."""
    attributes = call.attributes
    for name, attribute, kind in _NUMBERS:
        value = request.get(name)
        if value is not None and isinstance(value, (int, float)) and not isinstance(value, bool):
            attributes[attribute] = kind(value)
    count = request.get("n")
    if isinstance(count, int) and count > 1:
        attributes[semconv.REQUEST_CHOICE_COUNT] = count
    stop = request.get("stop")
    if isinstance(stop, str):
        attributes[semconv.REQUEST_STOP_SEQUENCES] = [stop]
    elif isinstance(stop, list):
        attributes[semconv.REQUEST_STOP_SEQUENCES] = [str(item) for item in stop]
    tier = request.get("service_tier")
    if isinstance(tier, str) and tier != "auto":
        attributes[semconv.OPENAI_REQUEST_SERVICE_TIER] = tier
    call.user = get_text(request, "safety_identifier") or get_text(request, "user")


def read_reasoning(call: Call, effort: Any) -> None:
    """Set how much reasoning was asked for."""
    if isinstance(effort, str):
        call.attributes[semconv.REQUEST_REASONING_LEVEL] = effort


def read_output_type(call: Call, response_format: Any) -> None:
    """Set whether JSON or text was asked for."""
    kind = _OUTPUT_TYPES.get(str(get(response_format, "type")))
    if kind is not None:
        call.attributes[semconv.OUTPUT_TYPE] = kind


def read_service(call: Call, reply: Any) -> None:
    """Set which tier and which build answered."""
    tier = get_text(reply, "service_tier")
    if tier is not None:
        call.service_tier = tier
        call.attributes[semconv.OPENAI_RESPONSE_SERVICE_TIER] = tier
    if (fingerprint := get_text(reply, "system_fingerprint")) is not None:
        call.attributes[semconv.OPENAI_RESPONSE_SYSTEM_FINGERPRINT] = fingerprint

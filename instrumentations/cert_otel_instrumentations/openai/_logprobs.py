"""Asking for logprobs on the application's behalf: only where the settings say so."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Final

from cert_otel_instrumentations.openai._chat import ChatEndpoint
from cert_otel_instrumentations.openai._responses import ResponsesEndpoint

if TYPE_CHECKING:
    from cert_otel.capture import Endpoint

INCLUDE: Final = "message.output_text.logprobs"
_WITHOUT_LOGPROBS: Final = ("o1", "o3", "o4", "gpt-5")
"""Reasoning models refuse the parameter."""


def with_logprobs(options: Any, endpoint: Endpoint) -> Any:
    """Return the options of a request, with logprobs asked for where the model has them."""
    body = options.json_data
    if not isinstance(body, dict) or str(body.get("model")).startswith(_WITHOUT_LOGPROBS):
        return options
    if isinstance(endpoint, ChatEndpoint) and "logprobs" not in body:
        body = {**body, "logprobs": True}
    elif isinstance(endpoint, ResponsesEndpoint) and INCLUDE not in (body.get("include") or ()):
        body = {**body, "include": [*(body.get("include") or ()), INCLUDE]}
    else:
        return options
    asking = copy.copy(options)
    asking.json_data = body
    return asking

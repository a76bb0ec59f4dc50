"""One call, one span: who else records this call, and what that means for us.

- The application suppresses instrumentation: nothing is recorded.
- An instrumentor built on opentelemetry-util-genai has published its `InferenceData` in the
  context: cost and perplexity go there, and its span carries them.
- The current span belongs to a known foreign instrumentor: it is enriched with what it lacks.
- Otherwise the span is ours, and an `InferenceData` of ours tells official inner
  instrumentors to fold into it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY as SUPPRESS_KEY
from opentelemetry.context import Context, set_value

if TYPE_CHECKING:
    from opentelemetry.trace import Span

SUPPRESS_PLAIN_KEY: Final = "suppress_instrumentation"
SUPPRESS_MODELS_KEY: Final = "suppress_language_model_instrumentation"
"""OpenLLMetry's key: its wrappers set it around calls that another one records."""
INFERENCE_CONTEXT_KEY: Final = "opentelemetry.genai.client.inference.context"
_UTIL_GENAI: Final = "opentelemetry.util.genai.invocation"

_FOREIGN_SCOPES: Final = (
    "opentelemetry.instrumentation.openai",
    "opentelemetry.instrumentation.openai_v2",
    "opentelemetry.instrumentation.anthropic",
    "opentelemetry.instrumentation.bedrock",
    "opentelemetry.instrumentation.ollama",
    "openinference.instrumentation.openai",
    "openinference.instrumentation.anthropic",
    "openinference.instrumentation.bedrock",
    "openlit.otel.tracing",
    "logfire.openai",
    "com.anthropic.sdk.python",
)
"""Scopes of instrumentors of model SDKs that are not built on util-genai, submodules included."""
_FOREIGN_PREFIXES: Final = tuple(f"{scope}." for scope in _FOREIGN_SCOPES)


def is_suppressed(context: Context) -> bool:
    """Whether the application asked that calls in this context are not recorded."""
    return bool(
        context.get(SUPPRESS_KEY)
        or context.get(SUPPRESS_PLAIN_KEY)
        or context.get(SUPPRESS_MODELS_KEY)
    )


def find_inference_data(context: Context) -> Any | None:
    """Return the `InferenceData` of an official instrumentor around this call, if any."""
    return context.get(INFERENCE_CONTEXT_KEY)


def find_foreign_span(context: Context) -> Span | None:
    """Return the span of a known foreign instrumentor that already stands for this call."""
    span = trace.get_current_span(context)
    if not span.is_recording():
        return None
    name = getattr(getattr(span, "instrumentation_scope", None), "name", None) or ""
    is_foreign = name in _FOREIGN_SCOPES or name.startswith(_FOREIGN_PREFIXES)
    return span if is_foreign else None


def publish_inference(context: Context) -> Context:
    """Tell official inner instrumentors that the call of this context has a span already.

    util-genai folds an inner call only into an instance of its own class, which is taken from
    the loaded module and never imported for it.
    """
    module = sys.modules.get(_UTIL_GENAI)
    data_class = getattr(module, "InferenceData", None)
    if data_class is None:
        return context
    return set_value(INFERENCE_CONTEXT_KEY, data_class(), context)


def enrich_inference(data: Any, attributes: dict[str, Any]) -> None:
    """Hand attributes to the official instrumentor whose span stands for this call."""
    data.attributes.update(attributes)

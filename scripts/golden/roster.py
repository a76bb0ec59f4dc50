"""Whose payloads are golden: what is installed, which settings, and which application runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from golden.chains import RETRIEVAL, RETRIEVAL_STEPS, WORKFLOW, WORKFLOW_STEPS, Step
from golden.messages import MESSAGES
from golden.scenarios import SCENARIOS, Scenario

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT: Final = Path(__file__).resolve().parents[2]
OTEL: Final = (
    "opentelemetry-sdk==1.45.1",
    "opentelemetry-exporter-otlp-proto-http==1.45.1",
)
CONTENT: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
ON_SPAN: Final = {CONTENT: "SPAN_ONLY"}


@dataclass(frozen=True)
class Peer:
    """One vendor's instrumentation in one mode."""

    name: str
    """Of its folder."""
    requirements: tuple[str, ...]
    """Exact: another version may emit something else."""
    environ: Mapping[str, str] = field(default_factory=dict)
    environment: str | None = None
    """The environment that it shares with another peer."""
    scenarios: tuple[Scenario, ...] = SCENARIOS
    steps: tuple[Step, ...] = ()
    """Spans around the calls."""
    application: str = "golden.application"
    """A Python module, or the name of a script for Node."""
    error: str = "BadRequestError"
    """What its SDK calls HTTP 400."""
    altered: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Scenario to facts that it is known to write otherwise, and how."""

    @property
    def is_for_node(self) -> bool:
        """Whether it is JavaScript."""
        return self.application.endswith(".mjs")

    @property
    def home(self) -> str:
        """Name of its environment."""
        return self.environment or self.name


OPENAI_3: Final = "openai==3.51.0"
ANTHROPIC: Final = "anthropic==2.10.0"
NATIVE: Final = "ANTHROPIC_OPEN_TELEMETRY"
"""The switch of what the SDK records itself."""
OPENAI_2: Final = "openai==2.54.0"
GENAI: Final = (OPENAI_3, "opentelemetry-instrumentation-genai-openai==1.3b0", *OTEL)
LANGCHAIN: Final = (
    OPENAI_3,
    "openinference-instrumentation-langchain==0.1.80",
    "langchain-core==1.8.3",
    "langchain-openai==1.7.4",
    *OTEL,
)
VERCEL: Final = (
    "ai@6.0.325",
    "@ai-sdk/openai@3.0.141",
    "@opentelemetry/resources@2.12.0",
    "@opentelemetry/sdk-trace-node@2.12.0",
    "@opentelemetry/exporter-trace-otlp-proto@0.223.1",
)

PEERS: Final = (
    Peer("genai-openai", GENAI, ON_SPAN),
    Peer("genai-openai-events", GENAI, {CONTENT: "EVENT_ONLY"}, environment="genai-openai"),
    Peer(
        "openai-v2",
        (
            OPENAI_2,
            "opentelemetry-instrumentation-openai-v2==2.4b0",
            "opentelemetry-util-genai==0.4b0",
            *OTEL,
        ),
        {CONTENT: "true"},
    ),
    Peer("openinference", (OPENAI_3, "openinference-instrumentation-openai==0.1.66", *OTEL)),
    Peer(
        "openinference-langchain",
        LANGCHAIN,
        scenarios=(RETRIEVAL,),
        steps=RETRIEVAL_STEPS,
        application="golden.langchain_chain",
    ),
    Peer("openllmetry", (OPENAI_3, "opentelemetry-instrumentation-openai==0.62.4", *OTEL)),
    Peer(
        "openllmetry-workflow",
        (OPENAI_3, "traceloop-sdk==0.62.4", "httpx==0.28.1", *OTEL),
        scenarios=(WORKFLOW,),
        steps=WORKFLOW_STEPS,
        application="golden.traceloop_workflow",
    ),
    Peer(
        "openlit",
        (OPENAI_2, "openlit==1.45.0", *OTEL),
        {CONTENT: "true"},
        # It joins the texts of the choices.
        altered={"choices": {"output_data": "Blue. Green."}},
    ),
    Peer("logfire", (OPENAI_2, "logfire==5.4.0", *OTEL)),
    Peer(
        "vercel-ai",
        VERCEL,
        scenarios=tuple(scenario for scenario in SCENARIOS if scenario.name != "choices"),
        application="vercel.mjs",
        error="AI_APICallError",
    ),
    Peer(
        "anthropic-native",
        (ANTHROPIC, *OTEL),
        {"ANTHROPIC_OPEN_TELEMETRY_TRACES_CONTENT_MODE": "content"},
        scenarios=MESSAGES,
        application="golden.anthropic_calls",
        error="invalid_request_error",
    ),
    Peer(
        "genai-anthropic",
        (ANTHROPIC, "opentelemetry-instrumentation-genai-anthropic==1.3b0", *OTEL),
        {**ON_SPAN, NATIVE: "false"},
        scenarios=MESSAGES,
        application="golden.anthropic_calls",
    ),
    Peer(
        "openinference-anthropic",
        (ANTHROPIC, "openinference-instrumentation-anthropic==3.1.0", *OTEL),
        {NATIVE: "false"},
        scenarios=MESSAGES,
        application="golden.anthropic_calls",
    ),
    Peer(
        "openllmetry-anthropic",
        (ANTHROPIC, "opentelemetry-instrumentation-anthropic==0.62.4", *OTEL),
        {NATIVE: "false"},
        scenarios=MESSAGES,
        application="golden.anthropic_calls",
        # It adds the count of the stream's first event to that of its last.
        altered={"stream": {"completion_tokens": 62}},
    ),
    Peer(
        "cert-otel",
        (OPENAI_3, f"--editable={ROOT}", *OTEL),
        {**ON_SPAN, "CERT_OTEL_HASH_KEY": "golden"},
    ),
)

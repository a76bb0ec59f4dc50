"""A workflow with the decorators of traceloop-sdk: `python -m golden.traceloop_workflow`."""

from __future__ import annotations

import openai
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from traceloop.sdk import Traceloop
from traceloop.sdk.decorators import agent, task, tool, workflow

from golden.chains import CITY, WEATHER, WORKFLOW
from golden.marks import mark


@tool(name="weather")
def weather(city: str) -> str:  # noqa: ARG001 - the weather is the same everywhere
    """Tell the weather in a city."""
    return WEATHER


@task(name="summarise")
def summarise(forecast: str) -> str | None:  # noqa: ARG001 - recorded as the input
    """Ask the model."""
    (call,) = WORKFLOW.calls
    with openai.OpenAI(max_retries=0) as client:
        return client.chat.completions.create(**call.request).choices[0].message.content


@agent(name="traveller")
def travel(city: str) -> str | None:
    """Use the tool, then the model."""
    return summarise(weather(city))


@workflow(name="trip")
def plan(city: str) -> str | None:
    """Let the agent work."""
    return travel(city)


def main() -> None:
    """Plan one trip."""
    exporter = OTLPSpanExporter()
    Traceloop.init(
        app_name="golden", disable_batch=True, exporter=exporter, telemetry_enabled=False
    )
    Traceloop.set_association_properties({"user_id": "u-1", "session_id": "s-1"})
    plan(CITY)
    mark(WORKFLOW.name)


if __name__ == "__main__":
    main()

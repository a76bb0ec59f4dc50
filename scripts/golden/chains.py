"""Two applications of several spans, as data: a retrieval chain, and a workflow with a tool.

What is in `STEPS` is what an application did around its model calls; `scenarios` explains the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from golden.scenarios import Call, Scenario, count_chat

QUESTION: Final = "When does the library open?"
PASSAGES: Final = (
    ("hours", "The library opens at nine."),
    ("cards", "A card is free for residents."),
)
"""Id and text of what is retrieved."""
PROMPT: Final = "Answer from these passages: {passages}"
INSTRUCTION: Final = PROMPT.format(passages=" ".join(text for _, text in PASSAGES))
ANSWER: Final = "It opens at nine."
CITY: Final = "Porto"
WEATHER: Final = "Rain until noon."
SUMMARY: Final = "Take an umbrella."
WORKFLOW_QUESTION: Final = "What do I need in Porto?"


@dataclass(frozen=True)
class Step:
    """What a span that is no model call is about."""

    kind: str
    """A `cert_otel.records.Kind`."""
    name: str
    input_data: str | None = None
    """A text that its input holds."""
    output_data: str | None = None
    passages: tuple[tuple[str, str], ...] = ()


RETRIEVAL: Final = Scenario(
    "retrieval chain",
    (
        Call(
            "chat",
            {
                "model": "gpt-4o",
                "messages": [
                    {"role": "system", "content": INSTRUCTION},
                    {"role": "user", "content": QUESTION},
                ],
            },
            {"text": ANSWER, "usage": count_chat(1901, 43)},
            QUESTION,
        ),
    ),
)
RETRIEVAL_STEPS: Final = (
    Step("chain", "RunnableSequence", QUESTION, ANSWER),
    Step("retrieval", "Library", QUESTION, passages=PASSAGES),
    Step("tool", "weather", CITY, WEATHER),
)
WORKFLOW: Final = Scenario(
    "workflow",
    (
        Call(
            "chat",
            {"model": "gpt-4o", "messages": [{"role": "user", "content": WORKFLOW_QUESTION}]},
            {"text": SUMMARY, "usage": count_chat(2003, 47)},
            WORKFLOW_QUESTION,
        ),
    ),
)
WORKFLOW_STEPS: Final = (
    Step("chain", "trip", CITY, SUMMARY),
    Step("function", "summarise", WEATHER, SUMMARY),
    Step("tool", "weather", CITY, WEATHER),
    Step("agent", "traveller", CITY, SUMMARY),
)

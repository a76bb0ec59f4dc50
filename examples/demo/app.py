"""The help desk of a shop for leisure goods: an ordinary application of the `openai` package.

It knows nothing of telemetry. Credentials and addresses come from the environment, as the SDK
reads them: OPENAI_API_KEY, OPENAI_BASE_URL, AZURE_OPENAI_ENDPOINT, AZURE_OPENAI_API_KEY and
OPENAI_API_VERSION. `run.py` beside it sets them and runs it.
"""

from __future__ import annotations

import asyncio
import json
import math
import operator
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import openai
from openai import AsyncOpenAI, AzureOpenAI, OpenAI
from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam
    from openai.types.responses import ResponseInputItemParam

TICKETS: Final = Path(__file__).parents[1] / "data" / "support_dialogues.jsonl"
INSTRUCTIONS: Final = (
    "You are the help desk of Fjell & Lane, a shop for leisure goods. "
    "Answer in one or two sentences, and only from the passage you are given."
)
SEARCH: Final[ChatCompletionToolParam] = {
    "type": "function",
    "function": {
        "name": "search_handbook",
        "description": "Find the passage of the product handbook that answers a question.",
        "parameters": {
            "type": "object",
            "properties": {"query": {"type": "string"}},
            "required": ["query"],
        },
    },
}
UNSURE_BELOW: Final = 0.5
"""Answers whose tokens are less likely than this on average go to a person."""
REPEATS_ABOVE: Final = 0.6
"""Cosine of two questions from which they count as the same."""
CALL_ID: Final = "call_handbook"
"""Of the search that the help desk makes itself, before it asks a model."""
LETTER_WORDS: Final = 40_000
AT_ONCE: Final = 4
TICKETS_PER_SHIFT: Final = 48


class Ticket(NamedTuple):
    """A customer's question, and what the handbook says about it."""

    question: str
    passage: str


class Report(BaseModel):
    """What the morning meeting wants to know."""

    headline: str
    open_questions: list[str]


def read_tickets(path: Path) -> list[Ticket]:
    """Read this morning's tickets."""
    with path.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [Ticket(row["question"], row["context"]) for row in rows]


def make_prompt(ticket: Ticket) -> list[ChatCompletionMessageParam]:
    """Ask the question, with what the search of the handbook has found for it."""
    search = {"name": "search_handbook", "arguments": json.dumps({"query": ticket.question})}
    return [
        {"role": "system", "content": INSTRUCTIONS},
        {"role": "user", "content": ticket.question},
        {
            "role": "assistant",
            "tool_calls": [{"id": CALL_ID, "type": "function", "function": search}],  # type: ignore[typeddict-item]
        },
        {"role": "tool", "tool_call_id": CALL_ID, "content": ticket.passage},
    ]


def make_input(ticket: Ticket) -> list[ResponseInputItemParam]:
    """Ask the same of the Responses API."""
    return [
        {"type": "message", "role": "user", "content": ticket.question},
        {
            "type": "function_call",
            "call_id": CALL_ID,
            "name": "search_handbook",
            "arguments": json.dumps({"query": ticket.question}),
        },
        {"type": "function_call_output", "call_id": CALL_ID, "output": ticket.passage},
    ]


def find_repeats(client: OpenAI, tickets: Sequence[Ticket]) -> int:
    """Count tickets that ask nearly what another one asks."""
    questions = [ticket.question for ticket in tickets]
    reply = client.embeddings.create(model="text-embedding-3-small", input=questions)
    vectors = [item.embedding for item in reply.data]
    return sum(
        any(measure_likeness(vector, other) > REPEATS_ABOVE for other in vectors[:position])
        for position, vector in enumerate(vectors)
    )


def measure_likeness(vector: Sequence[float], other: Sequence[float]) -> float:
    """Return the cosine of two unit vectors."""
    return math.fsum(map(operator.mul, vector, other))


def answer_with_search(client: OpenAI, ticket: Ticket) -> str:
    """Let the model look the passage up before it answers."""
    messages: list[ChatCompletionMessageParam] = [
        {"role": "system", "content": INSTRUCTIONS},
        {"role": "user", "content": ticket.question},
    ]
    first = client.chat.completions.create(
        model="gpt-4o-mini", messages=messages, tools=[SEARCH], tool_choice="required"
    )
    for call in first.choices[0].message.tool_calls or ():
        messages += [
            {"role": "assistant", "tool_calls": [call.to_dict()]},  # type: ignore[list-item]
            {"role": "tool", "tool_call_id": call.id, "content": ticket.passage},
        ]
    second = client.chat.completions.create(model="gpt-4o-mini", messages=messages, tools=[SEARCH])
    return second.choices[0].message.content or ""


def answer_or_escalate(client: OpenAI, ticket: Ticket) -> str | None:
    """Answer, or give `None` when the model was not sure of its words."""
    reply = client.chat.completions.create(
        model="gpt-4o", messages=make_prompt(ticket), logprobs=True, temperature=0.2
    )
    choice = reply.choices[0]
    tokens = (choice.logprobs and choice.logprobs.content) or []
    mean = sum(token.logprob for token in tokens) / len(tokens) if tokens else 0.0
    return None if math.exp(mean) < UNSURE_BELOW else choice.message.content


def stream_answer(client: OpenAI, ticket: Ticket) -> str:
    """Answer while the customer watches."""
    stream = client.chat.completions.create(
        model="gpt-4.1-mini",
        messages=make_prompt(ticket),
        stream=True,
        stream_options={"include_usage": True},
    )
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)


async def answer_backlog(tickets: Sequence[Ticket]) -> list[str]:
    """Answer what came in overnight, a few at a time."""
    gate = asyncio.Semaphore(AT_ONCE)
    async with AsyncOpenAI() as client:

        async def answer(position: int, ticket: Ticket) -> str:
            async with gate:
                if position % 2:
                    return await stream_later(client, ticket)
                reply = await client.chat.completions.create(
                    model="gpt-4o-mini", messages=make_prompt(ticket)
                )
                return reply.choices[0].message.content or ""

        return await asyncio.gather(*(answer(*item) for item in enumerate(tickets)))


async def stream_later(client: AsyncOpenAI, ticket: Ticket) -> str:
    """Stream one answer of the backlog."""
    stream = await client.chat.completions.create(
        model="gpt-4o-mini",
        messages=make_prompt(ticket),
        stream=True,
        stream_options={"include_usage": True},
    )
    parts = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
    return "".join(parts)


def think_it_over(client: OpenAI, ticket: Ticket) -> str:
    """Give a difficult question to a reasoning model."""
    reply = client.responses.create(
        model="o4-mini",
        instructions=INSTRUCTIONS,
        input=make_input(ticket),
        reasoning={"effort": "low"},
    )
    return reply.output_text


def stream_thoughts(client: OpenAI, ticket: Ticket) -> str:
    """Stream a difficult question's answer."""
    with client.responses.stream(
        model="o4-mini",
        instructions=INSTRUCTIONS,
        input=make_input(ticket),
    ) as stream:
        return stream.get_final_response().output_text


def answer_in_region(client: AzureOpenAI, ticket: Ticket) -> str:
    """Answer a customer whose data stays in the region."""
    reply = client.chat.completions.create(model="helpdesk-eu", messages=make_prompt(ticket))
    return reply.choices[0].message.content or ""


def answer_letter(client: OpenAI, ticket: Ticket) -> str:
    """Answer a letter of many pages; one that is too long is cut to its last question."""
    letter = Ticket(ticket.question, f"{ticket.passage} {'and so on ' * LETTER_WORDS}")
    try:
        reply = client.chat.completions.create(model="gpt-4o", messages=make_prompt(letter))
    except openai.BadRequestError as error:
        print(f"  too long ({error.code}), asked again with the last page")
        reply = client.chat.completions.create(model="gpt-4o", messages=make_prompt(ticket))
    return reply.choices[0].message.content or ""


def report(client: OpenAI, answers: Sequence[str]) -> Report | None:
    """Sum up the shift."""
    reply = client.chat.completions.parse(
        model="gpt-4.1-mini",
        messages=[{"role": "user", "content": "Sum up these answers:\n" + "\n".join(answers)}],
        response_format=Report,
    )
    return reply.choices[0].message.parsed


def work_shift(client: OpenAI, azure: AzureOpenAI, tickets: Sequence[Ticket]) -> None:
    """Answer this morning's tickets, each in the way that suits it."""
    print(f"{len(tickets)} tickets, {find_repeats(client, tickets)} of them repeat another")
    searched = [answer_with_search(client, ticket) for ticket in tickets[:6]]
    print(f"searched  {len(searched)}: {searched[0]}")
    checked = [answer_or_escalate(client, ticket) for ticket in tickets[6:16]]
    print(f"checked   {len(checked)}, {checked.count(None)} handed to a person")
    streamed = [stream_answer(client, ticket) for ticket in tickets[16:24]]
    print(f"streamed  {len(streamed)}: {streamed[0]}")
    backlog = asyncio.run(answer_backlog(tickets[24:36]))
    print(f"overnight {len(backlog)}: {backlog[0]}")
    asked_often = [stream_answer(client, tickets[36]) for _ in range(4)]
    print(f"asked often, {len(asked_often)} times the same: {asked_often[0]}")
    thought = [think_it_over(client, ticket) for ticket in tickets[37:41]]
    thought.append(stream_thoughts(client, tickets[41]))
    print(f"thought over {len(thought)}: {thought[0]}")
    regional = [answer_in_region(azure, ticket) for ticket in tickets[42:46]]
    print(f"in region {len(regional)}: {regional[0]}")
    print(f"letter    {answer_letter(client, tickets[46])}")
    summary = report(client, [*searched, *streamed, *backlog])
    print(f"report    {summary.headline if summary else 'none'}")


def main() -> None:
    """Open the clients and work one shift."""
    with OpenAI() as client, AzureOpenAI() as azure:
        work_shift(client, azure, read_tickets(TICKETS)[-TICKETS_PER_SHIFT:])


if __name__ == "__main__":
    main()

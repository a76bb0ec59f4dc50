"""What the local provider answers: recorded answers, five of them changed on purpose."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from cert_otel.testing import Reply, ToolCall

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cert_otel.testing import RecordedRequest

DATA: Final = Path(__file__).resolve().parents[1] / "data"
ANSWERS: Final = DATA / "support_dialogues.jsonl"
WRONG_ANSWERS: Final = DATA / "wrong_answers.jsonl"
DEPLOYMENTS: Final = {"helpdesk-eu": "gpt-4o-2024-08-06"}
CONTEXT_WINDOW_BYTES: Final = 300_000
DELAY_S: Final = 0.01
CHUNK_DELAY_S: Final = 0.001


class WrongAnswer(NamedTuple):
    """A recorded answer that was changed on purpose."""

    question: str
    answer: str
    start: int
    """Where the change begins."""
    end: int


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Read JSON lines."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def read_answers(path: Path, wrong: Sequence[WrongAnswer] = ()) -> dict[str, str]:
    """Read the recorded answers, by question as it stands in a JSON request.

    Args:
        path: Of the recorded ones.
        wrong: Those that are given instead of what was recorded.
    """
    recorded = {row["question"]: row["answer"] for row in read_rows(path)}
    answers = recorded | {one.question: one.answer for one in wrong}
    return {json.dumps(question): answer for question, answer in answers.items()}


def read_wrong_answers(path: Path, recorded: Path) -> list[WrongAnswer]:
    """Read what was changed in which of the recorded answers."""
    rows = {row["id"]: row for row in read_rows(recorded)}
    return [
        WrongAnswer(
            rows[change["id"]]["question"],
            rows[change["id"]]["answer"].replace(change["was"], change["now"]),
            start := rows[change["id"]]["answer"].index(change["was"]),
            start + len(change["now"]),
        )
        for change in read_rows(path)
    ]


def make_script(answers: Mapping[str, str]) -> Callable[[RecordedRequest], Reply | None]:
    """Return what the provider answers: the recorded answer to the question in the request."""
    by_text = {question.strip('"'): answer for question, answer in answers.items()}

    def reply_to(request: RecordedRequest) -> Reply | None:
        text = json.dumps(request.json)
        question = next((key for key in by_text if key in text), None)
        if len(request.body) > CONTEXT_WINDOW_BYTES:
            message = "This model's maximum context length is 128000 tokens."
            return Reply(message, status=400, patch={"code": "context_length_exceeded"})
        if "response_format" in request.json:
            report = {"headline": "All customers were answered", "open_questions": []}
            return Reply(json.dumps(report), delay_s=DELAY_S)
        if question is None or request.path.endswith("/embeddings"):
            return None
        return answer_question(request.json, json.loads(f'"{question}"'), by_text[question])

    return reply_to


def answer_question(asked: Mapping[str, Any], question: str, answer: str) -> Reply:
    """Return what the model says: a search for the question, or the recorded answer."""
    if asked.get("tool_choice") == "required":
        search = ToolCall("search_handbook", {"query": question})
        return Reply(tool_calls=[search], delay_s=DELAY_S)
    # What a reasoning model thinks is not recorded: its prompt stands in for the length.
    reasoning = json.dumps(asked["input"]) if asked["model"].startswith("o") else None
    return Reply(answer, reasoning=reasoning, delay_s=DELAY_S, chunk_delay_s=CHUNK_DELAY_S)


def read_labels(path: Path, wrong: Sequence[WrongAnswer]) -> dict[str, str]:
    """Read what people said of each answer that is given; of changed ones, that they are."""
    labels = {row["answer"]: row["label"].lower() for row in read_rows(path)}
    return labels | {one.answer: "changed by us on purpose" for one in wrong}

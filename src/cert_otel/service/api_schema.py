"""What the JSON API takes and answers; /openapi.json is made of these."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from cert_otel.records import ContextItem, Record

_NO_IDS: Final[dict[str, Any]] = {"trace_id": "0" * 31 + "1", "span_id": "0" * 15 + "1"}
"""Of texts that belong to no trace; judges ask for some."""
Text = Annotated[str, Field(min_length=1)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ScoreRequest(_Model):
    """A text, and what came before it."""

    completion: Text
    prompt: str | None = None
    messages: list[dict[str, Any]] | None = None
    """As in `gen_ai.input.messages`; in place of `prompt`."""

    def make_record(self) -> Record:
        """Return what a judge is asked about."""
        return Record(
            kind="inference",
            timestamp=datetime.now(UTC),
            input_data=self.prompt,
            input_messages=self.messages,
            output_data=self.completion,
            **_NO_IDS,
        )

    def list_texts(self) -> list[str]:
        """List all that is to be read."""
        return [self.completion, self.prompt or "", *map(str, self.messages or ())]


class Passage(_Model):
    """Something that an answer may rest on."""

    text: Text
    id: str | None = None
    source: str | None = None


class EvaluateRequest(_Model):
    """An answer, and what it may rest on."""

    answer: Text
    context: str | list[str | Passage] = []
    """Passages; a single text is one."""
    question: str | None = None

    def make_record(self) -> Record:
        """Return what a judge is asked about."""
        return Record(
            kind="inference",
            timestamp=datetime.now(UTC),
            input_data=self.question,
            output_data=self.answer,
            context=[item for item in self._list_passages() if item.text] or None,
            **_NO_IDS,
        )

    def list_texts(self) -> list[str]:
        """List all that is to be read."""
        passages = (item.text for item in self._list_passages())
        return [self.answer, self.question or "", *passages]

    def _list_passages(self) -> list[ContextItem]:
        given = [self.context] if isinstance(self.context, str) else self.context
        return [_make_passage(passage) for passage in given]


class ScoreResponse(BaseModel):
    """What the scoring model measured."""

    status: str
    reason: str | None
    trajectory: dict[str, Any] | None
    scorer: str
    revision: str | None


class EvaluateResponse(BaseModel):
    """What the evaluators found; a confidence of null is unknown."""

    status: str
    reason: str | None
    confidence: float | None
    threshold: float | None
    passed: bool | None
    evaluations: list[dict[str, Any]]
    scorer: str
    revision: str | None


class ErrorResponse(BaseModel):
    """Why there is no answer."""

    error: str
    severity: str
    message: str


def _make_passage(passage: str | Passage) -> ContextItem:
    if isinstance(passage, str):
        return ContextItem(text=passage)
    return ContextItem(text=passage.text, id=passage.id, source=passage.source)

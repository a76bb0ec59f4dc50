"""Models, moderations, files and batches as the fake provider sends them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import openai
import pytest
from openai.types import Batch, FileObject, ModerationCreateResponse

if TYPE_CHECKING:
    from collections.abc import Callable

    from openai import OpenAI


class TestModels:
    def test_are_listed_and_found(self, connect: Callable[..., OpenAI]) -> None:
        """Aliases and snapshots both."""
        client = connect()
        names = [model.id for model in client.models.list()]

        assert {"gpt-4o", "gpt-4o-2024-08-06", "text-embedding-3-small"} <= set(names)
        assert client.models.retrieve("gpt-4o").id == "gpt-4o"
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("gpt-0")


class TestModerations:
    def test_nothing_is_flagged(self, ask: Callable[..., Any]) -> None:
        """One result for each input, in every category."""
        asked = {"model": "omni-moderation-latest", "input": ["a", "b"]}
        body = ModerationCreateResponse.model_validate(ask("/v1/moderations", asked))

        assert [result.flagged for result in body.results] == [False, False]
        assert body.results[0].model_extra == {}

    def test_one_text_is_one_result(self, connect: Callable[..., OpenAI]) -> None:
        """A bare text needs no list."""
        assert len(connect().moderations.create(input="a").results) == 1


class TestFilesAndBatches:
    def test_are_kept(self, connect: Callable[..., OpenAI]) -> None:
        """What was uploaded and created can be listed, found and deleted."""
        client = connect()
        file = client.files.create(file=("in.jsonl", b"{}\n"), purpose="batch")
        batch = client.batches.create(
            input_file_id=file.id, endpoint="/v1/responses", completion_window="24h"
        )

        assert (file.filename, file.bytes) == ("in.jsonl", 3)
        assert client.files.retrieve(file.id) == file
        assert client.batches.retrieve(batch.id).input_file_id == file.id
        assert [kept.id for kept in client.batches.list()] == [batch.id]
        assert client.files.delete(file.id).deleted
        assert list(client.files.list()) == []

    def test_take_no_scripted_reply(self, connect: Callable[..., OpenAI]) -> None:
        """A script counts the calls of models only."""
        client = connect("The only answer.")
        client.files.create(file=("in.jsonl", b"{}\n"), purpose="batch")
        client.batches.create(input_file_id="f", endpoint="/v1/responses", completion_window="24h")

        answer = client.responses.create(model="gpt-4o", input="Hi")

        assert answer.output_text == "The only answer."

    def test_the_sdk_knows_every_field(self, ask: Callable[..., Any]) -> None:
        """Validated strictly, nothing is missing and nothing is unknown."""
        asked = {
            "endpoint": "/v1/responses",
            "input_file_id": "f",
            "completion_window": "24h",
            "purpose": "batch",
            "filename": "in.jsonl",
        }

        assert Batch.model_validate(ask("/v1/batches", asked)).model_extra == {}
        assert FileObject.model_validate(ask("/v1/files", asked)).model_extra == {}

"""Usage, in every shape that servers of this protocol send."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from openai.types import CompletionUsage

from cert_otel import semconv
from cert_otel.records import Usage
from cert_otel_instrumentations.openai._usage import count_tools, read_usage

if TYPE_CHECKING:
    from tests.instrumentations.openai.conftest import Desk


class TestReadUsage:
    """One form for what four endpoints report."""

    def test_chat(self) -> None:
        """Input includes the cache, output the reasoning: nothing is added up."""
        usage = {
            "prompt_tokens": 1200,
            "completion_tokens": 300,
            "prompt_tokens_details": {
                "cached_tokens": 1000,
                "cache_write_tokens": 50,
                "audio_tokens": 20,
                "image_tokens": 10,
            },
            "completion_tokens_details": {"reasoning_tokens": 100, "audio_tokens": 5},
        }

        assert read_usage(usage) == Usage(
            input_tokens=1200,
            output_tokens=300,
            cache_read_tokens=1000,
            cache_write_tokens=50,
            reasoning_tokens=100,
            input_audio_tokens=20,
            output_audio_tokens=5,
            input_image_tokens=10,
        )

    def test_sdk_objects_are_read_like_json(self) -> None:
        """The same figures as an object of the SDK give the same usage."""
        usage = {
            "prompt_tokens": 12,
            "completion_tokens": 3,
            "total_tokens": 15,
            "prompt_tokens_details": {"cached_tokens": 8},
        }

        assert read_usage(CompletionUsage.model_validate(usage)) == read_usage(usage)

    @pytest.mark.parametrize("details", ["details", "token_details"])
    def test_responses_images_and_transcriptions(self, details: str) -> None:
        """They call it input and output, and the parts by two names."""
        usage = {
            "input_tokens": 12,
            "output_tokens": 3,
            ("input_tokens_details" if details == "details" else "input_token_details"): {
                "cached_tokens": 8,
                "image_tokens": 2,
            },
            ("output_tokens_details" if details == "details" else "output_token_details"): {
                "reasoning_tokens": 1,
                "image_tokens": 2,
            },
        }

        assert read_usage(usage) == Usage(
            input_tokens=12,
            output_tokens=3,
            cache_read_tokens=8,
            reasoning_tokens=1,
            input_image_tokens=2,
            output_image_tokens=2,
        )

    def test_one_half_is_enough(self) -> None:
        """Embeddings have no output: it is absent, not 0."""
        assert read_usage({"prompt_tokens": 5}) == Usage(input_tokens=5)

    def test_zero_is_a_count(self) -> None:
        """A call that reports no output tokens reported that."""
        assert read_usage({"prompt_tokens": 5, "completion_tokens": 0}) == Usage(
            input_tokens=5, output_tokens=0
        )

    @pytest.mark.parametrize(
        "usage",
        [
            None,
            {},
            [],
            "many",
            7,
            {"prompt_tokens": None},
            {"prompt_tokens": "12"},
            {"prompt_tokens": 1.5},
            {"prompt_tokens": True},
            {"prompt_tokens": -1},
            {"prompt_tokens": 10**400},
            {"total_tokens": 15},
            {"type": "duration", "seconds": 3},
        ],
    )
    def test_what_is_no_count_is_absent(self, usage: Any) -> None:
        """Nothing is invented from what cannot be a number of tokens."""
        assert read_usage(usage) is None

    def test_strange_details_cost_the_details(self) -> None:
        """The whole stands where its parts cannot be read."""
        usage = {
            "prompt_tokens": 5,
            "prompt_tokens_details": "none",
            "completion_tokens_details": {"reasoning_tokens": None},
        }

        assert read_usage(usage) == Usage(input_tokens=5)


class TestTools:
    """What the provider ran for a response: it bills each, and counts none."""

    def test_searches_are_charged(self, desk: Desk) -> None:
        """Opening a page is no search."""
        output: list[dict[str, Any]] = [
            {"type": "web_search_call", "id": "1", "action": {"type": "search", "query": "a"}},
            {"type": "web_search_call", "id": "2", "action": {"type": "search", "query": "b"}},
            {"type": "web_search_call", "id": "3", "action": {"type": "open_page", "url": "c"}},
            {"type": "file_search_call", "id": "4", "queries": ["d"]},
        ]
        fees = [self.ask(desk, output[:length]) for length in range(len(output) + 1)]

        each = [after - before for before, after in pairwise(fees)]
        assert each == pytest.approx([0.01, 0.01, 0, 0.0025], abs=1e-9)

    def test_containers_are_counted(self) -> None:
        """Two runs in one container are one."""
        runs = [{"type": "code_interpreter_call", "container_id": name} for name in "xxy"]

        assert count_tools(Usage(output_tokens=1), runs).code_executions == 2

    @staticmethod
    def ask(desk: Desk, output: list[dict[str, Any]]) -> float:
        """Return what the tools of a reply cost."""
        reply = {
            "id": "resp_1",
            "object": "response",
            "model": "gpt-4o",
            "status": "completed",
            "output": output,
            "usage": {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15},
        }
        desk.open(reply, base_url="https://api.openai.com/v1").responses.create(
            model="gpt-4o", input="Hello"
        )
        attributes = desk.spans.spans()[-1]["attributes"]
        fee: float = attributes.get(semconv.COST_TOOLS, 0.0)
        return fee

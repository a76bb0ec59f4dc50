"""LiteLLM's price map, as prices of the user's own and as a second opinion."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from cert_otel import config
from cert_otel.errors import InputError
from cert_otel.pricing import price_call
from cert_otel.pricing._overrides import read_overrides
from cert_otel.pricing._table import Match, Model, Row
from cert_otel.records import Usage

if TYPE_CHECKING:
    from cert_otel.pricing._table import Provider

ROOT: Final = Path(__file__).parents[2]
CHAT: Final = {
    "litellm_provider": "openai",
    "mode": "chat",
    "max_tokens": 9,
    "input_cost_per_token": 2.5e-06,
    "output_cost_per_token": 1e-05,
}


def read(tmp_path: Path, content: dict[str, Any]) -> dict[str, Provider]:
    """Read a map."""
    path = tmp_path / "litellm.json"
    path.write_text(json.dumps(content))
    return read_overrides(path).providers


def read_one(tmp_path: Path, **fields: Any) -> Model:
    """Read a map of one model of openai."""
    [model] = read(tmp_path, {"m": CHAT | fields})["openai"].models
    return model


class TestRates:
    """Costs for each token become rates for a million."""

    def test_each(self, tmp_path: Path) -> None:
        """Every cost of tokens and tools has its rate, exactly."""
        model = read_one(
            tmp_path,
            cache_read_input_token_cost=3e-07,
            cache_creation_input_token_cost=3.75e-06,
            cache_creation_input_token_cost_above_1hr=6e-06,
            input_cost_per_audio_token=4e-05,
            cache_read_input_audio_token_cost=4e-07,
            input_cost_per_image_token=5e-06,
            cache_read_input_image_token_cost=1.25e-06,
            input_cost_per_video_token=1e-06,
            output_cost_per_audio_token=8e-05,
            output_cost_per_image_token=4e-05,
            output_cost_per_video_token=1.75e-05,
            output_cost_per_reasoning_token=1.1e-05,
            search_context_cost_per_query=dict.fromkeys(
                (f"search_context_size_{size}" for size in ("low", "medium", "high")), 0.01
            ),
            file_search_cost_per_1k_calls=2.5,
            code_interpreter_cost_per_session=0.03,
        )

        assert model.standard == (
            Row(
                input=2.5,
                cache_read=0.3,
                cache_write=3.75,
                cache_write_1h=6.0,
                input_audio=40.0,
                cache_read_audio=0.4,
                input_image=5.0,
                cache_read_image=1.25,
                input_video=1.0,
                output=10.0,
                output_audio=80.0,
                output_image=40.0,
                output_video=17.5,
                output_reasoning=11.0,
                web_searches=10.0,
                file_searches=2.5,
                code_executions=30.0,
            ),
        )

    def test_lengths_and_tiers(self, tmp_path: Path) -> None:
        """A longer context changes what it names; a tier without that length has no price there."""
        model = read_one(
            tmp_path,
            input_cost_per_token_above_200k_tokens=5e-06,
            input_cost_per_token_flex=1e-06,
            input_cost_per_token_batches=2e-06,
            output_cost_per_token_above_200k_tokens_batches=7e-06,
            input_cost_per_token_balanced=9e-06,
        )

        assert model.standard == (
            Row(input=2.5, output=10.0),
            Row(above_tokens=200_000, input=5.0, output=10.0),
        )
        assert model.modes == {
            "flex": (Row(input=1.0, output=10.0), Row(above_tokens=200_000)),
            "batch": (
                Row(input=2.0, output=10.0),
                Row(above_tokens=200_000, input=2.0, output=7.0),
            ),
        }

    def test_searches_by_size(self, tmp_path: Path) -> None:
        """A fee that depends on a size that no call tells is none."""
        sizes = {"search_context_size_low": 0.01, "search_context_size_high": 0.02}

        assert read_one(tmp_path, search_context_cost_per_query=sizes).standard == (
            Row(input=2.5, output=10.0),
        )


class TestModels:
    """Which entries there are, and under which names."""

    @pytest.mark.parametrize(
        ("name", "litellm_provider", "provider", "model"),
        [
            ("gpt-4o", "openai", "openai", "gpt-4o"),
            ("azure/GPT-4o", "azure", "azure", "gpt-4o"),
            ("azure_ai/grok-3", "azure_ai", "azure", "grok-3"),
            ("us.anthropic.claude", "bedrock_converse", "aws", "us.anthropic.claude"),
            ("vertex_ai/claude-4", "vertex_ai-anthropic_models", "google", "claude-4"),
            ("gemini/gemini-2.5-pro", "gemini", "google", "gemini-2.5-pro"),
            ("openrouter/openai/gpt-4o", "openrouter", "openrouter", "openai/gpt-4o"),
            ("xai/grok-3", "xai", "x-ai", "grok-3"),
            ("deepinfra/qwen", "deepinfra", "deepinfra", "qwen"),
            ("groq/llama", None, "groq", "llama"),
        ],
    )
    def test_name(
        self, tmp_path: Path, name: str, litellm_provider: Any, provider: str, model: str
    ) -> None:
        """LiteLLM's provider becomes the price list, and goes from the front of the name."""
        found = read(tmp_path, {name: CHAT | {"litellm_provider": litellm_provider}})

        assert [(one, of.models[0].match) for one, of in found.items()] == [
            (provider, Match(equals=(model,)))
        ]

    @pytest.mark.parametrize(
        "entry",
        [
            {"litellm_provider": "openai", "output_cost_per_image": 0.04},
            CHAT | {"input_cost_per_token": 0, "output_cost_per_token": 0.0},
            CHAT | {"input_cost_per_token": None},
            {"litellm_provider": "openai"},
        ],
    )
    def test_left_out(self, tmp_path: Path, entry: dict[str, Any]) -> None:
        """No cost for tokens, and the 0 that is written for unknown ones."""
        assert read(tmp_path, {"m": entry}) == {}

    def test_sample(self, tmp_path: Path) -> None:
        """The explanation at the front of the map is no model."""
        assert read(tmp_path, {"sample_spec": {"x": "one of"}, "m": CHAT}).keys() == {"openai"}

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"input_cost_per_token": "2e-6"}, "m: input_cost_per_token: '2e-6' is no number"),
            ({"input_cost_per_token": True}, "m: input_cost_per_token: True is no number"),
            ({"output_cost_per_token": -1}, "m: output_cost_per_token: -1 is no cost"),
        ],
    )
    def test_mistakes(self, tmp_path: Path, fields: dict[str, Any], message: str) -> None:
        """A cost that is none names the model and the field."""
        with pytest.raises(InputError, match=message):
            read_one(tmp_path, **fields)

    def test_no_object(self, tmp_path: Path) -> None:
        """An entry that is no object is named."""
        with pytest.raises(InputError, match="n: is no object"):
            read(tmp_path, {"m": CHAT, "n": 1})


class TestOverride:
    """The map in the place of the user's own prices."""

    def test_source(self, tmp_path: Path) -> None:
        """It goes before the table, as an override."""
        path = tmp_path / "map.json"
        path.write_text(json.dumps({"gpt-4o": CHAT | {"input_cost_per_token": 1e-06}}))
        config.configure(prices=str(path))
        cost = price_call("openai", "gpt-4o", Usage(input_tokens=1_000_000), at_unix_s=1.79e9)

        assert cost is not None
        assert (cost.amount, cost.source) == (1.0, "override")


class TestSecondOpinion:
    """scripts/check_litellm.py."""

    def test_counts(self, tmp_path: Path) -> None:
        """Rates that are the same, that are another, and that one of the two has."""
        path = tmp_path / "map.json"
        other = CHAT | {"output_cost_per_token": 2e-05, "output_cost_per_audio_token": 1e-06}
        path.write_text(json.dumps({"gpt-4o": other, "openai/unheard-of": CHAT}))
        done = subprocess.run(
            [sys.executable, "scripts/check_litellm.py", "--map", str(path), "--list"],
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
        )
        lines = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line}

        assert "models: 1 in both, 1 only there" in done.stdout
        assert lines["input"] == ["1", "0", "0", "0"]
        assert lines["output"] == ["0", "1", "0", "0"]
        assert lines["output_audio"] == ["0", "0", "0", "1"]
        assert lines["cache_read"] == ["0", "0", "1", "0"]
        assert "openai gpt-4o standard output: 10 here, 20 there" in done.stdout

"""How the spellings of a model find it: ARNs, paths, prefixes, dates."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cert_otel.pricing import ModelRef, find_model, price_call
from cert_otel.records import Usage

SONNET: Final = "anthropic.claude-sonnet-4-5-20250929-v1:0"
REGIONAL: Final = ModelRef("aws", f"regional.{SONNET}")
ACCOUNT: Final = "arn:aws:bedrock:eu-west-1:123456789012:"


class TestBedrock:
    """Models by region, profile and ARN."""

    @pytest.mark.parametrize("region", ["us", "eu", "apac", "jp", "au", "us-gov"])
    def test_a_region_has_a_price_of_its_own(self, region: str) -> None:
        """A profile of a region is not the global one."""
        assert find_model("aws", f"{region}.{SONNET}") == REGIONAL
        assert find_model("aws", f"global.{SONNET}") == ModelRef("aws", f"global.{SONNET}")

    @pytest.mark.parametrize(
        "name",
        [
            f"{ACCOUNT}inference-profile/us.{SONNET}",
            f"{ACCOUNT}inference-profile/us.{SONNET}".upper(),
            f"arn:aws:bedrock:us-east-1::foundation-model/{SONNET}",
            f"arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/us-gov.{SONNET}",
            f"bedrock/us.{SONNET}",
        ],
    )
    def test_what_names_a_model(self, name: str) -> None:
        """An ARN of a model or of a profile of the system, and a gateway's prefix."""
        assert find_model("aws", name) == REGIONAL

    @pytest.mark.parametrize(
        "name",
        [
            f"{ACCOUNT}application-inference-profile/a1b2c3d4e5f6",
            f"{ACCOUNT}application-inference-profile/{SONNET}",
            f"{ACCOUNT}provisioned-model/abc{SONNET}",
            f"{ACCOUNT}custom-model/amazon.nova-pro-v1:0/abc",
            f"{ACCOUNT}imported-model/abc",
            f"{ACCOUNT}default-prompt-router/amazon.nova:1",
            "arn:aws:sagemaker:us-east-1:123456789012:endpoint/amazon.nova-pro",
            "arn:aws:bedrock",
            "arn:",
        ],
    )
    def test_what_names_none(self, name: str) -> None:
        """Any other ARN has no price, however its end may read."""
        assert find_model("aws", name) is None
        assert price_call("aws", name, Usage(input_tokens=9), at_unix_s=1.79e9) is None


class TestGoogle:
    """Models of the Gemini API and of Vertex AI."""

    @pytest.mark.parametrize(
        "name",
        [
            "gemini-2.5-pro",
            "models/gemini-2.5-pro",
            "google/gemini-2.5-pro",
            "publishers/google/models/gemini-2.5-pro",
            "projects/p/locations/us-central1/publishers/google/models/gemini-2.5-pro",
            "vertex_ai/gemini-2.5-pro",
            "gemini/gemini-2.5-pro",
        ],
    )
    def test_path(self, name: str) -> None:
        """A resource path or a prefix before a name changes nothing."""
        assert find_model("google", name) == ModelRef("google", "gemini-2.5-pro")

    @pytest.mark.parametrize(
        "name", ["projects/p/locations/l/endpoints/123", "tunedModels/mine", "models/"]
    )
    def test_tuned(self, name: str) -> None:
        """An endpoint or a tuned model names no model of the list."""
        assert find_model("google", name) is None


class TestPrefix:
    """A provider's name before the model's, as gateways write it."""

    @pytest.mark.parametrize(
        ("provider", "name", "model"),
        [
            ("openai", "openai/gpt-4o", "gpt-4o"),
            ("x-ai", "xai/grok-3", "grok-3"),
            ("fireworks", "fireworks_ai/accounts/fireworks/models/llama-v3p1-8b-instruct", None),
            ("anthropic", "Anthropic/claude-sonnet-4-6-20260218", "claude-sonnet-4-6"),
        ],
    )
    def test_own(self, provider: str, name: str, model: str | None) -> None:
        """The provider's own name is taken away."""
        found = find_model(provider, name)

        assert found is not None
        assert model is None or found == ModelRef(provider, model)

    @pytest.mark.parametrize(
        ("provider", "name"),
        [("openai", "groq/gpt-4o"), ("azure", "azure/gpt-4o"), ("openai", "/gpt-4o")],
    )
    def test_foreign(self, provider: str, name: str) -> None:
        """Another's name is not, and on Azure what follows is a deployment's name."""
        assert find_model(provider, name) is None

    @given(st.text(max_size=40))
    def test_any_text(self, name: str) -> None:
        """No name raises, and case makes no difference."""
        assert find_model("openai", name) == find_model("openai", name.lower())

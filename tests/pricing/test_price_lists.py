"""Whose price list applies to what others recorded: names, hosts, and the two together."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cert_otel.pricing import find_price_id, find_server
from cert_otel.pricing._files import get_table
from cert_otel.pricing._providers import _HOSTS, _NAMES

NAMES: Final = {
    # The GenAI conventions.
    "openai": "openai",
    "azure.ai.openai": "azure",
    "azure.ai.inference": "azure",
    "anthropic": "anthropic",
    "aws.bedrock": "aws",
    "gcp.gemini": "google",
    "gcp.vertex_ai": "google",
    "gcp.gen_ai": "google",
    "cohere": "cohere",
    "deepseek": "deepseek",
    "groq": "groq",
    "mistral_ai": "mistral",
    "perplexity": "perplexity",
    "x_ai": "x-ai",
    "moonshot_ai": "moonshotai",
    "ibm.watsonx.ai": None,
    # Former names, OpenLLMetry, OpenLIT.
    "OpenAI": "openai",
    "az.ai.openai": "azure",
    "Azure": "azure",
    "AWS": "aws",
    "Bedrock": "aws",
    "Anthropic": "anthropic",
    "Google": "google",
    "VertexAI": "google",
    "vertex_ai": "google",
    "together_ai": "together",
    "fireworks": "fireworks",
    "openrouter": "openrouter",
    "gcp.gen_ai.chat": "google",
    "gemini": "google",
    "meta": "meta",
    "zai": "zai",
    "minimax": "minimax",
    "vLLM": None,
    "litellm": None,
    "openai_agents": None,
    "google_adk": None,
    "claude_agent_sdk": None,
    "oci_genai": None,
    "Langchain": None,
    "hugging_face": None,
    "ollama": None,
    "vllm": None,
    # OpenInference.
    "mistralai": "mistral",
    "vertexai": "google",
    "xai": "x-ai",
    "azure_openai": "azure",
    "bedrock_converse": "aws",
    # Logfire and Pydantic AI.
    "google-gla": "google",
    "google-vertex": "google",
    # The Vercel AI SDK.
    "openai.chat": "openai",
    "openai.responses": "openai",
    "azure-openai.chat": "azure",
    "anthropic.messages": "anthropic",
    "amazon-bedrock": "aws",
    "google.generative-ai": "google",
    "google.vertex.chat": "google",
    "vertex.anthropic.messages": "google",
    "xai.chat": "x-ai",
    "togetherai.chat": "together",
    "lmstudio.chat": None,
    "openai-compatible": None,
    "openai_like": None,
    "aws.sagemaker": None,
    "huggingface_novita": "huggingface_novita",
    "": None,
    "  ": None,
}


class TestNames:
    """A provider as telemetry names it."""

    @pytest.mark.parametrize(("platform", "price_id"), NAMES.items())
    def test_known(self, platform: str, price_id: str | None) -> None:
        """Each dialect's name of a provider leads to its price list."""
        assert find_price_id(platform) == price_id

    def test_lists_exist(self) -> None:
        """No name and no host leads to a price list that is not there."""
        lists = {*_NAMES.values(), *(server.price_id for _, server in _HOSTS)} - {None}

        assert lists <= get_table().providers.keys()

    @given(st.text(max_size=30), st.text(max_size=30))
    def test_any_text(self, platform: str, address: str) -> None:
        """Whatever telemetry holds, nothing raises."""
        found = find_price_id(platform, address)

        assert found is None or isinstance(found, str)

    def test_nothing(self) -> None:
        """Nothing known is nobody's price."""
        assert find_price_id(None) is None


class TestHosts:
    """A host beside the name."""

    @pytest.mark.parametrize(
        ("platform", "address", "price_id"),
        [
            ("openai", "api.openai.com", "openai"),
            ("openai", "https://api.groq.com/openai/v1", "groq"),
            ("openai", "API.DEEPSEEK.COM:443", "deepseek"),
            ("openai", "acme.openai.azure.com", "azure"),
            ("anthropic", "bedrock-runtime.us-east-1.amazonaws.com", "aws"),
            ("openai", "https://router.huggingface.co/novita/v3/openai", "huggingface_novita"),
            ("openai", "https://router.huggingface.co/v1", None),
            (None, "api.mistral.ai", "mistral"),
        ],
    )
    def test_a_known_host_decides(
        self, platform: str | None, address: str, price_id: str | None
    ) -> None:
        """What answered is the host, whatever the instrumentor calls it."""
        assert find_price_id(platform, address) == price_id

    @pytest.mark.parametrize(
        "address", ["localhost", "localhost:8000", "http://127.0.0.1:8000/v1", "::1", "gw.corp"]
    )
    @pytest.mark.parametrize("platform", ["openai", "anthropic", "mistral_ai", "gcp.gemini"])
    def test_an_unknown_host_has_no_price(self, platform: str, address: str) -> None:
        """Whoever speaks a provider's protocol may be anybody."""
        assert find_price_id(platform, address) is None

    @pytest.mark.parametrize(
        ("platform", "price_id"), [("azure.ai.openai", "azure"), ("aws.bedrock", "aws")]
    )
    def test_a_signed_client(self, platform: str, price_id: str) -> None:
        """Azure and Bedrock are known by their clients: behind a gateway they are the same."""
        assert find_price_id(platform, "gateway.corp") == price_id

    def test_private_endpoint(self) -> None:
        """Bedrock's endpoint in a private network is Bedrock; one of another service is not."""
        private = find_server("vpce-0a-b.bedrock-runtime.us-east-1.vpce.amazonaws.com")

        assert private is not None
        assert private.price_id == "aws"
        assert find_server("vpce-0a-b.s3.us-east-1.vpce.amazonaws.com") is None

"""Who answers, and by whose prices: every host that is known, and those that only look like it."""

from __future__ import annotations

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cert_otel.capture import Target, resolve_target


def resolve(host: str, path: str = "/v1") -> Target:
    """Resolve a plain client of this host."""
    return resolve_target(openai.OpenAI, scheme="https", host=host, port=None, path=path)


KNOWN = [
    ("acme.openai.azure.com", "azure.ai.openai", "azure"),
    ("acme.cognitiveservices.azure.com", "azure.ai.openai", "azure"),
    ("acme.services.ai.azure.com", "azure.ai.openai", "azure"),
    ("acme.azure-api.net", "azure.ai.openai", "azure"),
    ("acme.eastus.models.ai.azure.com", "azure.ai.inference", "azure"),
    ("bedrock-runtime.us-east-1.amazonaws.com", "aws.bedrock", "aws"),
    ("bedrock-runtime-fips.us-gov-west-1.amazonaws.com", "aws.bedrock", "aws"),
    ("bedrock-runtime.cn-north-1.amazonaws.com.cn", "aws.bedrock", "aws"),
    ("bedrock-mantle.us-east-1.api.aws", "aws.bedrock", "aws"),
    ("aiplatform.googleapis.com", "gcp.vertex_ai", "google"),
    ("us-central1-aiplatform.googleapis.com", "gcp.vertex_ai", "google"),
    ("generativelanguage.googleapis.com", "gcp.gemini", "google"),
    ("api.openai.com", "openai", "openai"),
    ("eu.api.openai.com", "openai", "openai"),
    ("api.anthropic.com", "anthropic", "anthropic"),
    ("api.groq.com", "groq", "groq"),
    ("api.mistral.ai", "mistral_ai", "mistral"),
    ("api.deepseek.com", "deepseek", "deepseek"),
    ("api.x.ai", "x_ai", "x-ai"),
    ("api.perplexity.ai", "perplexity", "perplexity"),
    ("api.cohere.com", "cohere", "cohere"),
    ("api.cohere.ai", "cohere", "cohere"),
    ("api.moonshot.ai", "moonshot_ai", "moonshotai"),
    ("api.moonshot.cn", "moonshot_ai", "moonshotai"),
    ("api.together.xyz", "together", "together"),
    ("api.fireworks.ai", "fireworks", "fireworks"),
    ("api.cerebras.ai", "cerebras", "cerebras"),
    ("dbc-1.cloud.databricks.com", "databricks", "databricks"),
    ("adb-1.2.azuredatabricks.net", "databricks", "databricks"),
    ("api.novita.ai", "novita", "novita"),
    ("inference.baseten.co", "baseten", "baseten"),
    ("api.z.ai", "z_ai", "zai"),
    ("open.bigmodel.cn", "zhipuai", "zhipuai"),
    ("api.minimax.io", "minimax", "minimax"),
    ("api.voyageai.com", "voyageai", "voyageai"),
    ("oai.endpoints.kepler.ai.cloud.ovh.net", "ovhcloud", "ovhcloud"),
    ("vpce-0a-b.bedrock-runtime.us-east-1.vpce.amazonaws.com", "aws.bedrock", "aws"),
]


class TestHosts:
    @pytest.mark.parametrize(("host", "provider", "price_id"), KNOWN)
    def test_known(self, host: str, provider: str, price_id: str) -> None:
        """The host names the provider and the price list."""
        assert resolve(host) == Target(provider, price_id, host, None, reports_cost=False)

    def test_openrouter_reports_its_cost(self) -> None:
        """It alone says what a call cost, and that figure wins."""
        assert resolve("openrouter.ai", "/api/v1") == Target(
            "openrouter", "openrouter", "openrouter.ai", None, reports_cost=True
        )

    @pytest.mark.parametrize(
        ("path", "provider", "price_id"),
        [
            ("/novita/v3/openai", "novita", "huggingface_novita"),
            ("/fireworks-ai/inference/v1/", "fireworks_ai", "huggingface_fireworks-ai"),
            ("/v1", "huggingface", None),
            ("/v1/", "huggingface", None),
            ("", "huggingface", None),
        ],
    )
    def test_the_router_of_hugging_face(
        self, path: str, provider: str, price_id: str | None
    ) -> None:
        """The path names who serves; where the router chooses, nobody's price is known."""
        host = "router.huggingface.co"

        assert resolve(host, path) == Target(provider, price_id, host, None)

    @pytest.mark.parametrize(
        "host",
        [
            "localhost",
            "127.0.0.1",
            "::1",
            "10.0.0.7",
            "vllm",
            "llm.internal.example",
            "proxy.example.com",
        ],
    )
    def test_unknown(self, host: str) -> None:
        """A server of unknown brand is called by its protocol and has no price."""
        assert resolve(host) == Target("openai", None, host, None)

    @pytest.mark.parametrize(
        "host",
        [
            "api.openai.com.evil.example",
            "notapi.openai.com",
            "api-openai.com",
            "api.openai.com-evil.example",
            "openai.com",
            "notopenrouter.ai",
            "openrouter.ai.example",
            "openrouter.aix",
            "evilapi.groq.com",
            "xapi.x.ai",
            "acme.openai.azure.com.example",
            "notopenai.azure.com",
            "aiplatform.googleapis.com.example",
            "bedrock-runtime.us-east-1.amazonaws.com.example",
            "bedrock-runtime.example",
            "xbedrock-runtime.us-east-1.amazonaws.com",
            "bedrock-runtime.us-east-1.evilamazonaws.com",
            "router.huggingface.co.example",
            "notrouter.huggingface.co",
        ],
    )
    def test_look_alike(self, host: str) -> None:
        """A name that contains a known one is another host."""
        assert resolve(host) == Target("openai", None, host, None)

    @pytest.mark.parametrize("host", ["API.OpenAI.com", "api.openai.com.", "API.OPENAI.COM."])
    def test_spelling(self, host: str) -> None:
        """Case and the dot of a complete name make no difference."""
        assert resolve(host) == Target("openai", "openai", "api.openai.com", None)

    @given(
        st.sampled_from(KNOWN),
        st.from_regex(r"[a-z0-9-]{1,12}(\.[a-z]{2,8}){1,2}", fullmatch=True),
    )
    def test_a_suffix_takes_the_brand_away(self, known: tuple[str, str, str], suffix: str) -> None:
        """Whoever owns the end of a name owns the host."""
        name = f"{known[0]}.{suffix}"

        assert resolve(name).price_id is None or name.endswith(tuple(row[0] for row in KNOWN))

    def test_no_host(self) -> None:
        """A client without a host, as over a socket, has no address."""
        assert resolve("") == Target("openai", None, None, None)


class TestPorts:
    @pytest.mark.parametrize(
        ("scheme", "port", "shown"),
        [
            ("https", None, None),
            ("https", 443, None),
            ("https", 8443, 8443),
            ("http", 80, None),
            ("http", 443, 443),
            ("http", 8000, 8000),
            ("unix", 80, 80),
        ],
    )
    def test_only_an_unusual_one_is_shown(
        self, scheme: str, port: int | None, shown: int | None
    ) -> None:
        """The default of the scheme says nothing; any other does."""
        target = resolve_target(openai.OpenAI, scheme=scheme, host="localhost", port=port)

        assert target.port == shown

    def test_a_port_does_not_hide_the_brand(self) -> None:
        """The host alone decides."""
        target = resolve_target(openai.OpenAI, scheme="https", host="api.groq.com", port=8443)

        assert target == Target("groq", "groq", "api.groq.com", 8443)


class TestClasses:
    @pytest.mark.parametrize("client_class", [openai.AzureOpenAI, openai.AsyncAzureOpenAI])
    @pytest.mark.parametrize("host", ["acme.openai.azure.com", "gateway.example", "localhost"])
    def test_azure_on_any_host(self, client_class: type, host: str) -> None:
        """An Azure client behind a gateway is Azure."""
        target = resolve_target(client_class, scheme="https", host=host, port=None)

        assert target == Target("azure.ai.openai", "azure", host, None)

    def test_a_subclass_is_what_it_comes_from(self) -> None:
        """Applications extend the SDK's clients."""

        class Ours(openai.AzureOpenAI):
            """An application's own client."""

        target = resolve_target(Ours, scheme="https", host="gateway.example", port=None)

        assert target.provider == "azure.ai.openai"

    def test_the_bedrock_client_of_the_openai_package(self) -> None:
        """Its class says Bedrock, whatever endpoint it was given."""
        target = resolve_target(openai.BedrockOpenAI, scheme="https", host="proxy", port=None)

        assert target == Target("aws.bedrock", "aws", "proxy", None)

    @pytest.mark.parametrize(
        ("name", "provider", "price_id"),
        [
            ("AnthropicBedrock", "aws.bedrock", "aws"),
            ("AsyncAnthropicBedrock", "aws.bedrock", "aws"),
            ("AnthropicVertex", "gcp.vertex_ai", "google"),
            ("AsyncAnthropicVertex", "gcp.vertex_ai", "google"),
        ],
    )
    def test_the_clients_of_the_anthropic_package(
        self, name: str, provider: str, price_id: str
    ) -> None:
        """They are known by their names: the package need not be there."""
        target = resolve_target(type(name, (), {}), scheme="https", host="proxy", port=None)

        assert target == Target(provider, price_id, "proxy", None)

    def test_the_name_of_the_sdk_says_nothing(self) -> None:
        """The same client class serves every host."""
        assert resolve("api.mistral.ai").provider == "mistral_ai"

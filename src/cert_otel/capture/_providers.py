"""Who answers a call, and by whose price list: from the client's class and the host.

The name of the SDK says nothing: the openai package talks to Azure, Groq, OpenRouter and to
whatever runs on localhost. First match wins; the price id is that of `cert_otel.pricing`.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Target(NamedTuple):
    """The server side of a call."""

    provider: str
    """`gen_ai.provider.name`."""
    price_id: str | None
    """Whose price list applies; `None` where there is none, as on localhost."""
    host: str | None
    port: int | None
    """Left out where it is the default of the scheme."""
    reports_cost: bool = False
    """The reply carries what the call cost, and that figure wins."""


class _Rule(NamedTuple):
    suffix: str
    provider: str
    price_id: str | None
    reports_cost: bool = False


AZURE_PRICE_ID: Final = "azure"
_CLASSES: Final = {
    "BaseAzureClient": ("azure.ai.openai", AZURE_PRICE_ID),
    "BedrockOpenAI": ("aws.bedrock", "aws"),
    "AsyncBedrockOpenAI": ("aws.bedrock", "aws"),
}

_HOSTS: Final = (
    _Rule(".openai.azure.com", "azure.ai.openai", AZURE_PRICE_ID),
    _Rule(".cognitiveservices.azure.com", "azure.ai.openai", AZURE_PRICE_ID),
    _Rule(".services.ai.azure.com", "azure.ai.openai", AZURE_PRICE_ID),
    _Rule(".azure-api.net", "azure.ai.openai", AZURE_PRICE_ID),
    _Rule(".models.ai.azure.com", "azure.ai.inference", "azure"),
    _Rule(".api.openai.com", "openai", "openai"),
    _Rule(".api.anthropic.com", "anthropic", "anthropic"),
    _Rule("aiplatform.googleapis.com", "gcp.vertex_ai", "google"),
    _Rule(".generativelanguage.googleapis.com", "gcp.gemini", "google"),
    _Rule(".api.groq.com", "groq", "groq"),
    _Rule(".api.mistral.ai", "mistral_ai", "mistral"),
    _Rule(".api.deepseek.com", "deepseek", "deepseek"),
    _Rule(".api.x.ai", "x_ai", "x-ai"),
    _Rule(".api.perplexity.ai", "perplexity", "perplexity"),
    _Rule(".api.cohere.com", "cohere", "cohere"),
    _Rule(".api.cohere.ai", "cohere", "cohere"),
    _Rule(".api.moonshot.ai", "moonshot_ai", "moonshotai"),
    _Rule(".api.moonshot.cn", "moonshot_ai", "moonshotai"),
    _Rule(".openrouter.ai", "openrouter", "openrouter", reports_cost=True),
    _Rule(".api.together.xyz", "together", "together"),
    _Rule(".api.together.ai", "together", "together"),
    _Rule(".api.fireworks.ai", "fireworks", "fireworks"),
    _Rule(".api.cerebras.ai", "cerebras", "cerebras"),
    _Rule(".databricks.com", "databricks", "databricks"),
    _Rule(".azuredatabricks.net", "databricks", "databricks"),
    _Rule(".api.novita.ai", "novita", "novita"),
    _Rule(".baseten.co", "baseten", "baseten"),
    _Rule(".api.z.ai", "z_ai", "zai"),
)

_BEDROCK_SERVICES: Final = ("bedrock-runtime.", "bedrock-runtime-fips.", "bedrock-mantle.")
_HUGGINGFACE_ROUTER: Final = "router.huggingface.co"
_HUGGINGFACE_CHOOSES: Final = ("", "v1")
"""First segments of the router's paths that leave the choice of a provider to it."""
_DEFAULT_PORTS: Final = {"https": 443, "http": 80}
UNKNOWN_SERVER_PROVIDER: Final = "openai"
"""What the conventions call a server of unknown brand that speaks this protocol."""


def resolve_target(
    client_class: type, *, scheme: str, host: str, port: int | None, path: str = ""
) -> Target:
    """Say who serves a client.

    Args:
        client_class: Decides before the host: an Azure client may sit behind a gateway.
        scheme: `https` or `http`.
        host: Without port, any case.
        port: As in the URL, else `None`.
        path: Path of the base URL; some routers put the provider there.
    """
    host = host.lower().rstrip(".")
    shown_port = None if port == _DEFAULT_PORTS.get(scheme) else port
    address = host or None
    for base in client_class.__mro__:
        if (by_class := _CLASSES.get(base.__name__)) is not None:
            return Target(*by_class, address, shown_port)
    if _is_bedrock(host):
        return Target("aws.bedrock", "aws", address, shown_port)
    if host == _HUGGINGFACE_ROUTER:
        brand = path.strip("/").split("/")[0]
        if brand in _HUGGINGFACE_CHOOSES:
            return Target("huggingface", None, address, shown_port)
        return Target(brand.replace("-", "_"), f"huggingface_{brand}", address, shown_port)
    dotted = f".{host}"
    for rule in _HOSTS:
        if dotted.endswith(rule.suffix):
            return Target(rule.provider, rule.price_id, address, shown_port, rule.reports_cost)
    return Target(UNKNOWN_SERVER_PROVIDER, None, address, shown_port)


def _is_bedrock(host: str) -> bool:
    return host.startswith(_BEDROCK_SERVICES) and host.endswith(
        (".amazonaws.com", ".amazonaws.com.cn", ".api.aws")
    )

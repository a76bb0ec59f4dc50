"""Whose price list applies: from the host that answered, or the name that telemetry gave it.

The name of an SDK or a protocol says little: the openai package talks to Azure, Groq, OpenRouter
and to whatever runs on localhost. So a host, where it is known, decides.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple


class Server(NamedTuple):
    """Who answers at a host."""

    provider: str
    """`gen_ai.provider.name`."""
    price_id: str | None
    """Whose price list applies; `None` where that is not known."""
    reports_cost: bool = False
    """The reply carries what the call cost, and that figure wins."""


AZURE_PRICE_ID: Final = "azure"
AZURE: Final = Server("azure.ai.openai", AZURE_PRICE_ID)
BEDROCK: Final = Server("aws.bedrock", "aws")
VERTEX: Final = Server("gcp.vertex_ai", "google")
UNKNOWN_SERVER_PROVIDER: Final = "openai"
"""What the conventions call a server of unknown brand that speaks this protocol."""

_HOSTS: Final = (
    (".openai.azure.com", AZURE),
    (".cognitiveservices.azure.com", AZURE),
    (".services.ai.azure.com", AZURE),
    (".azure-api.net", AZURE),
    (".models.ai.azure.com", Server("azure.ai.inference", AZURE_PRICE_ID)),
    (".api.openai.com", Server("openai", "openai")),
    (".api.anthropic.com", Server("anthropic", "anthropic")),
    ("aiplatform.googleapis.com", VERTEX),
    (".generativelanguage.googleapis.com", Server("gcp.gemini", "google")),
    (".api.groq.com", Server("groq", "groq")),
    (".api.mistral.ai", Server("mistral_ai", "mistral")),
    (".api.deepseek.com", Server("deepseek", "deepseek")),
    (".api.x.ai", Server("x_ai", "x-ai")),
    (".api.perplexity.ai", Server("perplexity", "perplexity")),
    (".api.cohere.com", Server("cohere", "cohere")),
    (".api.cohere.ai", Server("cohere", "cohere")),
    (".api.moonshot.ai", Server("moonshot_ai", "moonshotai")),
    (".api.moonshot.cn", Server("moonshot_ai", "moonshotai")),
    (".openrouter.ai", Server("openrouter", "openrouter", reports_cost=True)),
    (".api.together.xyz", Server("together", "together")),
    (".api.together.ai", Server("together", "together")),
    (".api.fireworks.ai", Server("fireworks", "fireworks")),
    (".api.cerebras.ai", Server("cerebras", "cerebras")),
    (".databricks.com", Server("databricks", "databricks")),
    (".azuredatabricks.net", Server("databricks", "databricks")),
    (".api.novita.ai", Server("novita", "novita")),
    (".baseten.co", Server("baseten", "baseten")),
    (".api.z.ai", Server("z_ai", "zai")),
    (".open.bigmodel.cn", Server("zhipuai", "zhipuai")),
    (".api.minimax.io", Server("minimax", "minimax")),
    (".api.minimaxi.com", Server("minimax", "minimax")),
    (".api.voyageai.com", Server("voyageai", "voyageai")),
    (".api.arcee.ai", Server("arcee", "arcee")),
    (".api.avian.io", Server("avian", "avian")),
    (".api.doubleword.ai", Server("doubleword", "doubleword")),
    (".oai.endpoints.kepler.ai.cloud.ovh.net", Server("ovhcloud", "ovhcloud")),
    (".api.quicksilverpro.io", Server("quicksilverpro", "quicksilverpro")),
    (".api.meta.ai", Server("meta", "meta")),
)
"""Ends of host names. Hosts on which users run models of their own (`*.modal.run`) are not here."""

_BEDROCK_SERVICES: Final = ("bedrock-runtime.", "bedrock-runtime-fips.", "bedrock-mantle.")
_BEDROCK_ENDPOINT: Final = re.compile(r"vpce-[a-z0-9-]+\.bedrock-runtime\.[a-z0-9-]+\.vpce")
"""A private endpoint of Bedrock, before the domain."""
_AMAZON: Final = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws")
_HUGGINGFACE_ROUTER: Final = "router.huggingface.co"
_HUGGINGFACE_CHOOSES: Final = ("", "v1")
"""First segments of the router's paths that leave the choice of a provider to it."""

_NAMES: Final = {
    "aws": "aws",
    "amazon": "aws",
    "bedrock": "aws",
    "azure": AZURE_PRICE_ID,
    "az": AZURE_PRICE_ID,
    "azureopenai": AZURE_PRICE_ID,
    "microsoft.foundry": AZURE_PRICE_ID,
    "openai": "openai",
    "text.completion.openai": "openai",
    "anthropic": "anthropic",
    "claude": "anthropic",
    "google": "google",
    "gcp": "google",
    "gemini": "google",
    "vertex": "google",
    "vertexai": "google",
    "generativeai": "google",
    "groq": "groq",
    "mistral": "mistral",
    "mistralai": "mistral",
    "deepseek": "deepseek",
    "x.ai": "x-ai",
    "xai": "x-ai",
    "perplexity": "perplexity",
    "cohere": "cohere",
    "moonshot": "moonshotai",
    "moonshotai": "moonshotai",
    "openrouter": "openrouter",
    "together": "together",
    "togetherai": "together",
    "fireworks": "fireworks",
    "fireworksai": "fireworks",
    "cerebras": "cerebras",
    "databricks": "databricks",
    "novita": "novita",
    "baseten": "baseten",
    "z.ai": "zai",
    "zai": "zai",
    "zhipu": "zhipuai",
    "zhipuai": "zhipuai",
    "bigmodel": "zhipuai",
    "minimax": "minimax",
    "voyage": "voyageai",
    "voyageai": "voyageai",
    "arcee": "arcee",
    "avian": "avian",
    "doubleword": "doubleword",
    "ovhcloud": "ovhcloud",
    "quicksilverpro": "quicksilverpro",
    "cloudflare": "cloudflare",
    "github.copilot": "github-copilot",
    "meta": "meta",
    "elevenlabs": "elevenlabs",
    # Protocols, platforms and frameworks that name nobody's prices.
    "openai.compatible": None,
    "openai.like": None,
    "openailike": None,
    "anthropic.compatible": None,
    "aws.sagemaker": None,
    "amazon.sagemaker": None,
    "google.palm": None,
    "google.adk": None,
    "openai.agents": None,
    "claude.agent.sdk": None,
}
"""Folded names, or beginnings of names, of telemetry: see `_fold`."""


@lru_cache(maxsize=256)
def find_server(host: str, path: str = "") -> Server | None:
    """Say who answers at a host.

    Args:
        host: Without port; case does not matter.
        path: Of the base URL; some routers put the provider there.

    Returns:
        `None` for a host of unknown brand: localhost, a private one, somebody's gateway.
    """
    host = host.lower().rstrip(".")
    if _is_bedrock(host):
        return BEDROCK
    if host == _HUGGINGFACE_ROUTER:
        brand = path.strip("/").split("/")[0]
        if brand in _HUGGINGFACE_CHOOSES:
            return Server("huggingface", None)
        return Server(brand.replace("-", "_"), f"huggingface_{brand}")
    dotted = f".{host}"
    return next((server for end, server in _HOSTS if dotted.endswith(end)), None)


def _is_bedrock(host: str) -> bool:
    if not host.endswith(_AMAZON):
        return False
    return host.startswith(_BEDROCK_SERVICES) or _BEDROCK_ENDPOINT.match(host) is not None


@lru_cache(maxsize=256)
def match_platform(name: str) -> str | None:
    """Find the price list that a name means, from its beginning: `openai.chat` is `openai`."""
    words = _fold(name).split(".")
    for count in range(len(words), 0, -1):
        start = ".".join(words[:count])
        if start in _NAMES:
            return _NAMES[start]
    # HuggingFace's providers have price lists of their own, under just these names.
    return name if name.startswith("huggingface_") else None


def _fold(name: str) -> str:
    """Bring the spellings of one name together: `Vertex_AI`, `vertex-ai`, `vertex.ai`."""
    return re.sub(r"[^a-z0-9]+", ".", name.lower()).strip(".")

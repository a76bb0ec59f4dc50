"""Providers as others call them, to the names of the GenAI conventions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAMES: Final[Mapping[str, str]] = {
    "amazon-bedrock": "aws.bedrock",
    "aws": "aws.bedrock",
    "az.ai.openai": "azure.ai.openai",
    "azure": "azure.ai.openai",
    "azure-openai": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "google": "gcp.gen_ai",
    "google.generative-ai": "gcp.gemini",
    "google.vertex": "gcp.vertex_ai",
    "google-vertex": "gcp.vertex_ai",
    "hugging_face": "huggingface",
    "mistral": "mistral_ai",
    "mistralai": "mistral_ai",
    "moonshot": "moonshot_ai",
    "vertex ai": "gcp.vertex_ai",
    "vertex_ai": "gcp.vertex_ai",
    "vertexai": "gcp.vertex_ai",
    "xai": "x_ai",
}


def to_provider(value: Any) -> Any:
    """Return the conventions' name of a provider; of one that they do not know, its own.

    The AI SDK adds the API, as in `openai.chat`, and OpenLLMetry wrote `OpenAI`.
    """
    if not isinstance(value, str) or not value:
        return value
    name = value.lower()
    while name not in _NAMES and "." in name and not _is_conventional(name):
        name = name.rpartition(".")[0]
    return _NAMES.get(name, name)


def _is_conventional(name: str) -> bool:
    return name.startswith(("azure.ai.", "aws.", "gcp.", "ibm."))

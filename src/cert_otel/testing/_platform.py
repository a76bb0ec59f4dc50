"""What surrounds the models: their list, moderations, files and batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cert_otel.testing._wire import EPOCH_S, answer_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cert_otel.testing._wire import Answer, Exchange

SNAPSHOTS: Final[Mapping[str, str]] = {
    "gpt-3.5-turbo": "gpt-3.5-turbo-0125",
    "gpt-4.1": "gpt-4.1-2025-04-14",
    "gpt-4.1-mini": "gpt-4.1-mini-2025-04-14",
    "gpt-4.1-nano": "gpt-4.1-nano-2025-04-14",
    "gpt-4o": "gpt-4o-2024-08-06",
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "gpt-5": "gpt-5-2025-08-07",
    "gpt-5-mini": "gpt-5-mini-2025-08-07",
    "o3": "o3-2025-04-16",
    "o4-mini": "o4-mini-2025-04-16",
}
"""Which dated model answers when an alias is asked. Other names answer as themselves."""
_EXTRA_MODELS: Final = ("gpt-image-1", "text-embedding-3-large", "text-embedding-3-small")
_CATEGORIES: Final = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)


def list_models() -> dict[str, dict[str, Any]]:
    """Return the model objects by name."""
    names = sorted({*SNAPSHOTS, *SNAPSHOTS.values(), *_EXTRA_MODELS})
    return {
        name: {"id": name, "object": "model", "created": EPOCH_S, "owned_by": "system"}
        for name in names
    }


def render_moderation(exchange: Exchange) -> Answer:
    """Answer `POST /moderations`: nothing is flagged."""
    asked = exchange.fields.get("input")
    result = {
        "flagged": False,
        "categories": dict.fromkeys(_CATEGORIES, False),
        "category_scores": dict.fromkeys(_CATEGORIES, 0.0001),
        "category_applied_input_types": {name: ["text"] for name in _CATEGORIES},
    }
    results = [result] * (len(asked) if isinstance(asked, list) else 1)
    body = {"id": exchange.make_id("modr-"), "model": exchange.model, "results": results}
    return answer_json(body | dict(exchange.reply.patch))


def render_file(exchange: Exchange) -> Answer:
    """Answer `POST /files`."""
    fields = exchange.fields
    body = {
        "id": exchange.make_id("file-"),
        "object": "file",
        "bytes": len(fields.get("file") or b""),
        "created_at": EPOCH_S,
        "filename": fields.get("filename"),
        "purpose": fields.get("purpose"),
        "status": "processed",
        "status_details": None,
        "expires_at": None,
    }
    return answer_json(body | dict(exchange.reply.patch), stored=True)


def render_batch(exchange: Exchange) -> Answer:
    """Answer `POST /batches`: the batch is accepted and stays in validation."""
    fields = exchange.fields
    body = {
        "id": exchange.make_id("batch_"),
        "object": "batch",
        "endpoint": fields.get("endpoint"),
        "errors": None,
        "input_file_id": fields.get("input_file_id"),
        "completion_window": fields.get("completion_window"),
        "status": "validating",
        "output_file_id": None,
        "error_file_id": None,
        "created_at": EPOCH_S,
        "request_counts": {"total": 0, "completed": 0, "failed": 0},
        "metadata": fields.get("metadata"),
    }
    return answer_json(body | dict(exchange.reply.patch), stored=True)

"""Which endpoint of the API a request goes to, and who reads it."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from cert_otel_instrumentations.openai._chat import ChatEndpoint
from cert_otel_instrumentations.openai._completions import CompletionsEndpoint
from cert_otel_instrumentations.openai._embeddings import EmbeddingsEndpoint
from cert_otel_instrumentations.openai._plain import FetchEndpoint, PlainEndpoint
from cert_otel_instrumentations.openai._responses import ResponsesEndpoint

if TYPE_CHECKING:
    from cert_otel.capture import Endpoint

_MODELLED: Final[dict[tuple[str, str], Endpoint]] = {
    ("post", "/chat/completions"): ChatEndpoint(),
    ("post", "/completions"): CompletionsEndpoint(),
    ("post", "/responses"): ResponsesEndpoint(),
    ("post", "/embeddings"): EmbeddingsEndpoint(),
}
_STORED_RESPONSE: Final = re.compile(r"/responses/(?!compact$|input_tokens$)[^/]+(/cancel)?$")
_COUNTED_BEFORE: Final = re.compile(r"/(batches|chat/completions|evals|fine_tuning)(/|$)")
"""What lies there has the usage of calls that were, or will be, counted elsewhere."""
_WORD: Final = re.compile(r"[a-z_]{1,32}$")
_DEPLOYMENT: Final = re.compile(r"^.*/deployments/[^/]+(?=/)")


@lru_cache(maxsize=512)
def find_endpoint(method: str, path: str) -> Endpoint:
    """Return the readers for a request.

    Args:
        method: HTTP method, any case.
        path: As the SDK's resource gave it, for instance `/chat/completions`; a full URL or an
            Azure deployment's path works too.
    """
    method = method.lower()
    path = _DEPLOYMENT.sub("", path.split("?", maxsplit=1)[0])
    if "://" in path:
        path = "/" + path.split("://", 1)[1].partition("/")[2].removeprefix("v1/")
    path = "/" + path.strip("/")
    if (endpoint := _MODELLED.get((method, path))) is not None:
        return endpoint
    if method in ("get", "post") and _STORED_RESPONSE.match(path):
        return FetchEndpoint()
    has_usage = method == "post" and not _COUNTED_BEFORE.match(path)
    return PlainEndpoint(_operation_of(path), has_usage=has_usage)


def _operation_of(path: str) -> str:
    """Name an operation by its path, ids left out: a name must not have a value per object."""
    words = [segment for segment in path.split("/") if _WORD.match(segment)]
    return ".".join(words) or "request"

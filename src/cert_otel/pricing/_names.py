"""The spellings under which a model may stand in a price list.

What a provider calls a model comes with an ARN, a resource path, a gateway's prefix or a compact
date around it. The name as given always comes first, so that these only help where it fails.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from cert_otel.pricing._providers import AZURE_PRICE_ID, match_platform

if TYPE_CHECKING:
    from collections.abc import Iterator

_COMPACT_DATE: Final = re.compile(r"-(20\d{2})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")
"""`-20251211`, as LiteLLM and OpenRouter write what the providers call `-2025-12-11`."""
_NAMED_ARN: Final = re.compile(
    r"arn:[^:]*:bedrock:[^:]*:[^:]*:(?:foundation-model|inference-profile)/(.+)"
)
"""The ARNs that name a model. An application inference profile's, or one of provisioned or imported
models, does not, however its random part may read."""
_GOOGLE_PATH: Final = re.compile(r"(?:.*/)?(?:publishers/[^/]+/)?models/([^/]+)")


def list_names(provider: str, model: str) -> Iterator[str]:
    """List the names to look for, in order, in lower case.

    Args:
        provider: An id of the table.
        model: As the provider or the application spells it.
    """
    name = model.lower()
    if name.startswith("arn:"):
        arn = _NAMED_ARN.fullmatch(name)
        if arn is None:
            return
        name = arn[1]
    for spelling in (name, _strip(provider, name)):
        if spelling is not None:
            yield spelling
            dashed = _COMPACT_DATE.sub(r"-\1-\2-\3", spelling)
            if dashed != spelling:
                yield dashed


def _strip(provider: str, name: str) -> str | None:
    """Take away what stands before the model's own name."""
    if provider == "google" and (path := _GOOGLE_PATH.fullmatch(name)) is not None:
        return path[1]
    prefix, slash, rest = name.partition("/")
    # On Azure that rest is a deployment's name.
    if slash and provider != AZURE_PRICE_ID and match_platform(prefix) == provider:
        return rest
    return None

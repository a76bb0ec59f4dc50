"""Resources of judged spans: kept once each, for the results that are sent back beside them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cert_otel.service.seen import Seen

_ID_BYTES: Final = 8
_REMEMBERED: Final = 1024
"""Of many more than one payload has; the others are asked about again."""


class Resources:
    """Gives resources their ids, and keeps what is new."""

    def __init__(self, seen: Seen) -> None:
        """Keep them there."""
        self._seen = seen
        self._known: dict[int, tuple[Mapping[str, Any], str]] = {}

    def keep(self, resource: Mapping[str, Any], *, now_s: int) -> str:
        """Return the id of a resource, whose attributes are kept from now on."""
        known = self._known.get(id(resource))
        if known is not None and known[0] is resource:
            return known[1]
        content = msgspec.json.encode(resource, enc_hook=repr, order="deterministic")
        id_ = hashlib.blake2b(content, digest_size=_ID_BYTES).hexdigest()
        self._seen.keep_resource(id_, resource, now_s=now_s)
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[id(resource)] = (resource, id_)
        return id_

"""Results that were computed before, under the hash of text and configuration."""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING

import msgspec
from cachetools import LRUCache

from cert_otel.scoring.monitor_types import AnalysisError, CacheInfo, TrajectoryAnalysis

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cert_otel.scoring.backends.scored import Request

Outcome = TrajectoryAnalysis | AnalysisError


class ResultCache:
    """Analyses under the hash of text and configuration; errors are not kept."""

    def __init__(self, size: int) -> None:
        self._entries: LRUCache[bytes, TrajectoryAnalysis] = LRUCache(size)
        self._lock = threading.Lock()
        self._hits = self._misses = 0

    def find(self, keys: Sequence[bytes]) -> dict[bytes, Outcome]:
        """Return what is there, and count."""
        found: dict[bytes, Outcome] = {}
        with self._lock:
            for key in keys:
                entry = self._entries.get(key)
                if entry is None:
                    self._misses += 1
                else:
                    self._hits += 1
                    found[key] = msgspec.structs.replace(entry, from_cache=True)
        return found

    def store(self, fresh: Mapping[bytes, Outcome]) -> None:
        """Keep the analyses."""
        with self._lock:
            for key, outcome in fresh.items():
                if isinstance(outcome, TrajectoryAnalysis) and self._entries.maxsize:
                    self._entries[key] = outcome

    def info(self) -> CacheInfo:
        """Return the counts."""
        with self._lock:
            return CacheInfo(
                hits=self._hits,
                misses=self._misses,
                size=len(self._entries),
                max_size=int(self._entries.maxsize),
            )

    def clear(self) -> None:
        """Forget entries and counts."""
        with self._lock:
            self._entries.clear()
            self._hits = self._misses = 0


def make_key(request: Request, *configuration: object) -> bytes:
    """Return the hash of a request and of whatever changes its result."""
    # Repr takes what JSON does not: lone surrogates, and whatever stands in messages.
    return hashlib.blake2b(
        repr((request, configuration)).encode(errors="surrogatepass"), digest_size=16
    ).digest()

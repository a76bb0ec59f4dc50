"""How informative a term is: a background table, and what each route learns on top of it.

The table is compiled by models/evaluation/term_weights.py, whose notice stands in its head.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import threading
import zlib
from array import array
from collections import OrderedDict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

TABLE: Final = Path(__file__).with_name("term_weights.txt.gz")
_STEPS_PER_OCTAVE: Final = 4
"""Frequencies are kept to a quarter of an octave: weights to 0.09."""
_WIDTH: Final = 1 << 14
_ROWS: Final = 4
"""A sketch of 4 by 16,384 counters, 256 kB: 10,000 terms are over-counted by 1 in 16,000."""
_BACKGROUND: Final = 2000
"""Sentences that the background counts for beside those of a route."""
_CONTEXTS: Final = 4096
"""Contexts that a route remembers, so that one that repeats counts once."""
_ROUTES: Final = 64
"""Routes that are remembered; the one not seen for longest is forgotten."""


class Background:
    """In how many of its sentences each term stands."""

    def __init__(self, sentences: int, frequencies: Mapping[str, int], revision: str) -> None:
        self.sentences = sentences
        self.revision = revision
        self._weights = {
            term: math.log((sentences + 1) / (count + 0.5)) for term, count in frequencies.items()
        }
        self._unseen = math.log((sentences + 1) / 0.5)
        self.frequencies = frequencies

    def weight(self, term: str) -> float:
        """Return ln((N + 1) / (df + 0.5)); most for a term that was never seen."""
        return self._weights.get(term, self._unseen)

    def frequency(self, term: str) -> int:
        """Return in how many sentences a term stands."""
        return self.frequencies.get(term, 0)


class RouteWeights:
    """A background, corrected by the contexts that one route has seen. Shared by threads."""

    def __init__(self, background: Background) -> None:
        self._background = background
        self._counters = [array("I", bytes(4 * _WIDTH)) for _ in range(_ROWS)]
        self._known: OrderedDict[int, None] = OrderedDict()
        self._sentences = 0
        self._digest = hashlib.blake2b(digest_size=4)
        self._lock = threading.Lock()

    @property
    def revision(self) -> str:
        """Names the state: the same contexts in the same order give the same one."""
        with self._lock:
            return f"{self._sentences}-{self._digest.hexdigest()}" if self._sentences else "0"

    def learn(self, context: int, list_terms: Callable[[], Iterable[Collection[str]]]) -> None:
        """Count the distinct terms of each sentence of a context, once while it is remembered.

        Args:
            context: Its hash.
            list_terms: Gives the distinct terms of each of its sentences.
        """
        with self._lock:
            if context in self._known:
                self._known.move_to_end(context)
                return
            self._known[context] = None
            if len(self._known) > _CONTEXTS:
                self._known.popitem(last=False)
            for keys in list_terms():
                self._sentences += 1
                for key in sorted(keys):
                    data = key.encode(errors="surrogatepass")
                    self._digest.update(data)
                    for counters, place in zip(self._counters, _find_places(data), strict=True):
                        counters[place] += 1

    def weight(self, term: str) -> float:
        """Return the weight of a term among background and route."""
        background = self._background
        share = _BACKGROUND / background.sentences
        places = _find_places(term.encode(errors="surrogatepass"))
        with self._lock:
            seen = min(row[place] for row, place in zip(self._counters, places, strict=True))
            total = self._sentences
        frequency = background.frequency(term) * share + seen
        return math.log((_BACKGROUND + total + 1) / (frequency + 0.5 * share))


class RouteTable:
    """The weights of each route, made when it is first named; the oldest are forgotten."""

    def __init__(self, background: Background, size: int = _ROUTES) -> None:
        self._background = background
        self._size = size
        self._routes: OrderedDict[str, RouteWeights] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, route: str) -> RouteWeights:
        """Return the weights of a route."""
        with self._lock:
            weights = self._routes.pop(route, None) or RouteWeights(self._background)
            self._routes[route] = weights
            while len(self._routes) > self._size:
                self._routes.popitem(last=False)
            return weights


def _find_places(data: bytes) -> list[int]:
    first, second = zlib.crc32(data), zlib.adler32(data) | 1
    return [(first + row * second) % _WIDTH for row in range(_ROWS)]


@cache
def load_background() -> Background:
    """Read the table that ships, once."""
    return decode_table(TABLE.read_bytes())


def encode_table(notice: str, sentences: int, frequencies: Mapping[str, int]) -> bytes:
    """Write a table: the notice as comments, the number of sentences, then terms by frequency."""
    steps: dict[int, list[str]] = {}
    for term, count in frequencies.items():
        steps.setdefault(round(_STEPS_PER_OCTAVE * math.log2(count)), []).append(term)
    lines = [f"# {line}" for line in notice.splitlines()]
    lines.append(str(sentences))
    lines += [f"{step} {' '.join(sorted(terms))}" for step, terms in sorted(steps.items())]
    return gzip.compress("\n".join(lines).encode(), mtime=0)


def decode_table(data: bytes) -> Background:
    """Read what `encode_table` wrote."""
    lines = gzip.decompress(data).decode().splitlines()
    body = [line for line in lines if not line.startswith("#")]
    frequencies: dict[str, int] = {}
    for line in body[1:]:
        step, *terms = line.split(" ")
        frequencies |= dict.fromkeys(terms, round(2 ** (int(step) / _STEPS_PER_OCTAVE)))
    return Background(int(body[0]), frequencies, hashlib.blake2b(data, digest_size=4).hexdigest())

"""Contexts that repeat are read once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final

from cert_otel.evaluation.grounding.reading import Reading

MAX_CHARACTERS: Final = 2_000_000
"""Text of the readings that are kept; a reading takes about thirty times its text."""


class ReadingCache:
    """The readings of the latest contexts, as much text as fits. Shared by threads."""

    def __init__(self, max_characters: int = MAX_CHARACTERS) -> None:
        self._max_characters = max_characters
        self._readings: OrderedDict[tuple[str, ...], Reading] = OrderedDict()
        self._characters = 0
        self._lock = threading.Lock()

    def read(self, texts: tuple[str, ...]) -> Reading:
        """Return the reading of a context."""
        with self._lock:
            reading = self._readings.get(texts)
            if reading is not None:
                self._readings.move_to_end(texts)
                return reading
        reading = Reading(texts)
        with self._lock:
            self._keep(texts, reading)
        return reading

    def _keep(self, texts: tuple[str, ...], reading: Reading) -> None:
        size = sum(map(len, texts))
        if texts in self._readings or size > self._max_characters:
            return
        self._readings[texts] = reading
        self._characters += size
        while self._characters > self._max_characters:
            oldest, _ = self._readings.popitem(last=False)
            self._characters -= sum(map(len, oldest))

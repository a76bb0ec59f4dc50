"""The prompts that models are asked with: text files, versioned, and identified by their hash.

A file that was released is never changed: a change is a new version. Texts that are judged stand
between markers whose code is derived from themselves, so that nobody can write a text that holds
its own marker.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

_PLACE: Final = re.compile(r"\{([a-z_]+)\}")
_CODE_DIGITS: Final = 16


class Prompt(NamedTuple):
    """One version of a prompt."""

    name: str
    """With its version, for instance `judge-1`."""
    user: str
    """With places in braces."""
    system: str | None = None

    @property
    def hash(self) -> str:
        """Twelve digits that identify the wording."""
        return hashlib.sha256(f"{self.system}\0{self.user}".encode()).hexdigest()[:12]

    def fill(self, values: Mapping[str, str]) -> str:
        """Return the user's message; braces in values are left as they are."""
        return _PLACE.sub(lambda place: values.get(place[1], place[0]), self.user)


@cache
def load_prompt(name: str) -> Prompt:
    """Read a prompt by its name and version."""
    folder = resources.files(__name__)
    system = folder / f"{name}.system.txt"
    return Prompt(
        name,
        (folder / f"{name}.user.txt").read_text(encoding="utf-8").rstrip("\n"),
        system.read_text(encoding="utf-8").rstrip("\n") if system.is_file() else None,
    )


def make_code(prompt: Prompt, *texts: str) -> str:
    """Return the code of the markers around texts: the same texts always have the same."""
    digest = hashlib.sha256(prompt.hash.encode())
    for text in texts:
        # A length before each text: texts that are cut elsewhere have another code.
        data = text.encode(errors="surrogatepass")
        digest.update(b"%d:" % len(data) + data)
    return digest.hexdigest()[:_CODE_DIGITS]

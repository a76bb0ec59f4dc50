"""Keyed hashes: pseudonyms of users and fingerprints of prompts.

Without a key such a hash can be undone by trying; with one, only who holds the key can. The
key is `CERT_OTEL_HASH_KEY`; without it, where records go to a journal, a random key is kept
beside that file, owner-only, so that all processes which write it agree; else the key lasts
as long as the process.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from cert_otel import config

if TYPE_CHECKING:
    from collections.abc import Sequence

_KEY_BYTES: Final = 32
_DIGEST_BYTES: Final = 16
_keys: Final[dict[Path | None, bytes]] = {}
"""The key in use, under the file that holds it: threads that make one at once agree."""
_begun: Final[dict[bytes, hashlib.blake2b]] = {}
_key_path: Path | None = None
_frame: Final = msgspec.json.Encoder().encode
"""JSON tells one part from the next."""


def share_key(journal: str) -> None:
    """Keep the random key in a file beside this journal."""
    global _key_path  # noqa: PLW0603 - one key a process
    _key_path = Path(f"{journal}.key")
    _forget_key()


def pseudonymise(identifier: str) -> str:
    """Return the keyed pseudonym of a user, 32 hexadecimal digits."""
    return _hash(b"user", (identifier,))


def fingerprint_prompt(parts: Sequence[str]) -> str:
    """Return the keyed fingerprint of a prompt, 32 hexadecimal digits.

    Args:
        parts: Roles and texts in their order; moving text from one part to the next changes
            the result.
    """
    return _hash(b"prompt", parts)


def _hash(purpose: bytes, parts: Sequence[str]) -> str:
    try:
        framed = _frame(parts)
    except UnicodeEncodeError:  # a lone surrogate
        codes = [part.encode("utf-8", "surrogatepass").hex() for part in parts]
        framed = _frame([*codes, None])  # unlike any list of texts
    state = (_begun.get(purpose) or _begin(purpose)).copy()
    state.update(framed)
    return state.hexdigest()


def _begin(purpose: bytes) -> hashlib.blake2b:
    """Return a hash that has taken in the key: to copy it costs a third of making it."""
    key = _keys.get(_key_path)
    if key is None:
        key = _keys.setdefault(_key_path, _make_key(_key_path))
    begun = hashlib.blake2b(digest_size=_DIGEST_BYTES, key=key, person=purpose)
    return _begun.setdefault(purpose, begun)


def _make_key(path: Path | None) -> bytes:
    settings = config.get_config()
    if settings.hash_key is not None:
        return hashlib.sha256(settings.hash_key.encode()).digest()
    return secrets.token_bytes(_KEY_BYTES) if path is None else _shared_key(path)


def _shared_key(path: Path) -> bytes:
    """Read the key beside the journal; make it where there is none."""
    try:
        key = path.read_bytes()
    except OSError:
        return _create_key(path)
    return key if len(key) == _KEY_BYTES else secrets.token_bytes(_KEY_BYTES)


def _create_key(path: Path) -> bytes:
    key = secrets.token_bytes(_KEY_BYTES)
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(key)
        try:
            os.link(temporary, path)  # fails if another process was first: then its key counts
        except FileExistsError:
            key = path.read_bytes()
        finally:
            temporary.unlink(missing_ok=True)
    except OSError:
        return key  # a key for this process alone
    return key


def _forget_key(_: config.Config | None = None) -> None:
    _keys.clear()
    _begun.clear()


config.on_change(_forget_key)

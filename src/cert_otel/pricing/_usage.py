"""Whether reported token counts can be true, and the nearest counts that can.

SDKs and gateways do report more cached tokens than input tokens. Such a call is priced from
counts that are cut to fit, and marked partial.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Final

from msgspec import structs

if TYPE_CHECKING:
    from cert_otel.records import Usage


_read_rare: Final = attrgetter(
    "cache_write_1h_tokens",
    "input_audio_tokens",
    "input_image_tokens",
    "cache_read_audio_tokens",
    "output_audio_tokens",
    "output_image_tokens",
)


def is_consistent(usage: Usage) -> bool:
    """Tell whether no count is negative and no part exceeds its whole."""
    prompt = usage.input_tokens or 0
    output = usage.output_tokens or 0
    read = usage.cache_read_tokens or 0
    write = usage.cache_write_tokens or 0
    if not (
        read >= 0
        and write >= 0
        and read + write <= prompt
        and 0 <= (usage.reasoning_tokens or 0) <= output
    ):
        return False
    # One look for what few calls have.
    return not any(_read_rare(usage)) or _are_rare_consistent(
        usage, prompt=prompt, output=output, read=read, write=write
    )


def _are_rare_consistent(usage: Usage, *, prompt: int, output: int, read: int, write: int) -> bool:
    write_1h, audio, image, read_audio, output_audio, output_image = (
        count or 0 for count in _read_rare(usage)
    )
    return (
        0 <= write_1h <= write
        and min(audio, image, output_audio, output_image) >= 0
        and audio + image <= prompt
        and output_audio + output_image <= output
        and (
            usage.cache_read_audio_tokens is None
            or (0 <= read_audio <= min(read, audio) and read + audio - read_audio <= prompt)
        )
    )


def make_consistent(usage: Usage) -> Usage:
    """Cut each part to what is left of its whole; a missing whole is the sum of its parts."""
    return _cut_output(_cut_input(usage))


def _cut_input(usage: Usage) -> Usage:
    write_1h, write = usage.cache_write_1h_tokens, usage.cache_write_tokens
    write = write_1h if write is None else write
    audio, image = usage.input_audio_tokens, usage.input_image_tokens
    whole = _find_whole(usage.input_tokens, (usage.cache_read_tokens, write), (audio, image))
    # Reads, the cheapest, are kept before writes.
    read = _cut(usage.cache_read_tokens, whole)
    write = _cut(write, whole, used=read)
    read_audio = _cut(_cut(usage.cache_read_audio_tokens, read), audio)
    read_text = None if read is None or read_audio is None else read - read_audio
    audio = _cut(audio, whole, used=read_text)
    return structs.replace(
        usage,
        input_tokens=whole,
        cache_read_tokens=read,
        cache_write_tokens=write,
        cache_write_1h_tokens=_cut(write_1h, write),
        input_audio_tokens=audio,
        input_image_tokens=_cut(image, whole, used=audio),
        cache_read_audio_tokens=read_audio,
    )


def _cut_output(usage: Usage) -> Usage:
    audio, image = usage.output_audio_tokens, usage.output_image_tokens
    whole = _find_whole(usage.output_tokens, (audio, image), (usage.reasoning_tokens,))
    audio = _cut(audio, whole)
    return structs.replace(
        usage,
        output_tokens=whole,
        output_audio_tokens=audio,
        output_image_tokens=_cut(image, whole, used=audio),
        reasoning_tokens=_cut(usage.reasoning_tokens, whole),
    )


def _find_whole(whole: int | None, *divisions: tuple[int | None, ...]) -> int | None:
    """Return the reported whole, else the least that each division of it allows."""
    if whole is not None:
        return max(whole, 0)
    sums = [sum(max(part or 0, 0) for part in parts) for parts in divisions if any(parts)]
    return max(sums, default=None)


def _cut(count: int | None, whole: int | None, *, used: int | None = None) -> int | None:
    return None if count is None else max(0, min(count, (whole or 0) - (used or 0)))

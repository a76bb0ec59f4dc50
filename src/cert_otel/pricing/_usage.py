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

_RARE: Final = (
    "cache_write_1h_tokens",
    "input_audio_tokens",
    "input_image_tokens",
    "input_video_tokens",
    "output_audio_tokens",
    "output_image_tokens",
    "output_video_tokens",
    "cache_read_audio_tokens",
    "cache_read_image_tokens",
)
_read_rare: Final = attrgetter(*_RARE)


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
    counts = [count or 0 for count in _read_rare(usage)]
    write_1h, audio, image, video = counts[:4]
    read_audio, read_image = counts[7:9]
    # Modalities of which nobody says how much was cached may be wholly cached.
    uncached = sum(
        whole - part
        for whole, part, reported in (
            (audio, read_audio, usage.cache_read_audio_tokens),
            (image, read_image, usage.cache_read_image_tokens),
        )
        if reported is not None
    )
    return (
        min(counts) >= 0
        and write_1h <= write
        and audio + image + video <= prompt
        and sum(counts[4:7]) <= output
        and read_audio <= audio
        and read_image <= image
        and read_audio + read_image <= read
        and read + uncached <= prompt
    )


def make_consistent(usage: Usage) -> Usage:
    """Cut each part to what is left of its whole; a missing whole is the sum of its parts."""
    return _cut_output(_cut_input(usage))


def _cut_input(usage: Usage) -> Usage:
    write_1h, write = usage.cache_write_1h_tokens, usage.cache_write_tokens
    write = write_1h if write is None else write
    modalities = (usage.input_audio_tokens, usage.input_image_tokens, usage.input_video_tokens)
    whole = _find_whole(usage.input_tokens, (usage.cache_read_tokens, write), modalities)
    # Reads, the cheapest, are kept before writes.
    read = _cut(usage.cache_read_tokens, whole)
    write = _cut(write, whole, used=read)
    cut = structs.replace(
        usage,
        input_tokens=whole,
        cache_read_tokens=read,
        cache_write_tokens=write,
        cache_write_1h_tokens=_cut(write_1h, write or 0),
    )
    return _cut_modalities(cut, whole, read or 0)


def _cut_modalities(usage: Usage, whole: int | None, read: int) -> Usage:
    audio, image = usage.input_audio_tokens, usage.input_image_tokens
    read_audio = _cut(_cut(usage.cache_read_audio_tokens, read), audio or 0)
    read_image = _cut(_cut(usage.cache_read_image_tokens, read, used=read_audio), image or 0)
    # What was read of other kinds is not left for one whose cached part is known.
    audio = _cut(audio, whole, used=0 if read_audio is None else read - read_audio)
    fresh_audio = 0 if read_audio is None else (audio or 0) - read_audio
    others = 0 if read_image is None else read - read_image + fresh_audio
    image = _cut(image, whole, used=max(audio or 0, others))
    return structs.replace(
        usage,
        input_audio_tokens=audio,
        input_image_tokens=image,
        input_video_tokens=_cut(usage.input_video_tokens, whole, used=(audio or 0) + (image or 0)),
        cache_read_audio_tokens=read_audio,
        cache_read_image_tokens=_cut(read_image, image or 0),
    )


def _cut_output(usage: Usage) -> Usage:
    audio, image = usage.output_audio_tokens, usage.output_image_tokens
    video = usage.output_video_tokens
    whole = _find_whole(usage.output_tokens, (audio, image, video), (usage.reasoning_tokens,))
    audio = _cut(audio, whole or 0)
    image = _cut(image, whole or 0, used=audio)
    return structs.replace(
        usage,
        output_tokens=whole,
        output_audio_tokens=audio,
        output_image_tokens=image,
        output_video_tokens=_cut(video, whole or 0, used=(audio or 0) + (image or 0)),
        reasoning_tokens=_cut(usage.reasoning_tokens, whole or 0),
    )


def _find_whole(whole: int | None, *divisions: tuple[int | None, ...]) -> int | None:
    """Return the reported whole, else the least that each division of it allows."""
    if whole is not None:
        return max(whole, 0)
    sums = [sum(max(part or 0, 0) for part in parts) for parts in divisions if any(parts)]
    return max(sums, default=None)


def _cut(count: int | None, limit: int | None, *, used: int | None = None) -> int | None:
    """Cut a count to between 0 and what is left of `limit`; `None` is no limit."""
    if count is None:
        return None
    kept = count if limit is None else min(count, limit - (used or 0))
    return max(0, kept)

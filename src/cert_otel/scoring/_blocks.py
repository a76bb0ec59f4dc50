"""The outline of an answer: thoughts, tool turns, code, tables, items and paragraphs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

Kind = Literal["sentence", "item", "code", "table", "tool"]
_Role = Literal["answer", "thought", "tool"]

TAG: Final = re.compile(
    r"<(/?)(?:(think|thinking|thought|reasoning)"
    r"|tool_call|tool_response|tool_result|function_call)>",
    re.IGNORECASE,
)
_FENCE: Final = re.compile(r"^[ \t]*+(`{3,}+|~{3,}+)(.*)$", re.MULTILINE)
_ITEM: Final = re.compile(
    r"[ \t]*+(?:[-*+•‣◦▪–]|\(?\d{1,3}[.)]|\(?[a-zA-Z][.)]|[ivxIVX]{1,5}[.)])[ \t]++\S"  # noqa: RUF001
    r"|[ \t]*+(?:\d{1,3}[、．]|（\d{1,3}）|[一二三四五六七八九十]{1,3}、|[①-⑳])"  # noqa: RUF001
    r"|[ \t]*+\**+(?:[Ss]tep|STEP)[ \t]++\d{1,3}\b"
)
_HEADING: Final = re.compile(r"[ \t]*+#{1,6}[ \t]")
_TOOL_TURN: Final = re.compile(r"[ \t]*+(?:Action|Observation)[ \t]*+\d*+:")
_OTHER_TURN: Final = re.compile(r"[ \t]*+(?:Thought|Final Answer)[ \t]*+\d*+:")


class Block(NamedTuple):
    """A stretch of text; blocks follow each other without a gap."""

    start: int
    end: int
    kind: Kind
    section: int
    """Counts thoughts, tool turns and answers, in order."""


class _Section(NamedTuple):
    start: int
    end: int
    role: _Role


def find_blocks(text: str) -> Iterator[Block]:
    """Yield the blocks of a text, from its beginning to its end."""
    fences = _find_fences(text)
    for number, section in enumerate(_find_sections(text, fences)):
        if section.role == "tool":
            yield Block(section.start, section.end, "tool", number)
        else:
            yield from _read_section(text, section, number, fences)


def _find_fences(text: str) -> dict[int, int | None]:
    """Return where each code block begins and ends, in order; `None` where it is not closed."""
    fences: dict[int, int | None] = {}
    opened = None
    for line in _FENCE.finditer(text):
        if opened is None:
            opened = line
            fences[line.start()] = None
        elif line[1].startswith(opened[1]) and not line[2].strip():
            fences[opened.start()] = min(line.end() + 1, len(text))
            opened = None
    return fences


def _find_sections(text: str, fences: dict[int, int | None]) -> Iterator[_Section]:
    start = 0
    role: _Role = "answer"
    for tag in _find_tags(text, fences):
        named: _Role = "thought" if tag[2] else "tool"
        if not tag[1]:
            if tag.start() > start:
                yield _Section(start, tag.start(), role)
            start, role = tag.start(), named
        elif role == named or (role, named) == ("answer", "thought"):
            # The latter is an end alone: chat templates put <think> into the prompt.
            yield _Section(start, tag.end(), named)
            start, role = tag.end(), "answer"
    if start < len(text):
        yield _Section(start, len(text), role)


def _find_tags(text: str, fences: dict[int, int | None]) -> Iterator[re.Match[str]]:
    """Yield the tags that are not quoted in a code block."""
    blocks = iter([(start, end) for start, end in fences.items() if end is not None])
    start, end = next(blocks, (len(text), len(text)))
    for tag in TAG.finditer(text):
        while end <= tag.start() < len(text) and start < len(text):
            start, end = next(blocks, (len(text), len(text)))
        if not start <= tag.start() < end:
            yield tag


def _read_section(
    text: str, section: _Section, number: int, fences: dict[int, int | None]
) -> Iterator[Block]:
    start = position = section.start
    kind: Kind | None = None
    ended = False
    while position < section.end:
        if position in fences:
            if kind is not None:
                yield Block(start, position, kind, number)
                start, kind = position, None
            position = min(fences[position] or section.end, section.end)
            yield Block(start, position, "code", number)
            start, ended = position, False
            continue
        stop = text.find("\n", position, section.end) + 1 or section.end
        line = text[position:stop]
        if not TAG.sub("", line).strip():
            ended = True
        else:
            marked = _find_kind(line)
            if kind is not None and (ended or _begins_block(line, marked, kind)):
                yield Block(start, position, kind, number)
                start, kind = position, None
            kind = kind or marked or "sentence"
            ended = _ends_block(line, marked, section.role)
        position = stop
    if start < section.end:
        yield Block(start, section.end, kind or "sentence", number)


def _find_kind(line: str) -> Kind | None:
    """Return the kind of block that a line's first characters announce."""
    if line.lstrip().startswith("|"):
        return "table"
    if _TOOL_TURN.match(line):
        return "tool"
    return "item" if _ITEM.match(line) else None


def _begins_block(line: str, marked: Kind | None, kind: Kind) -> bool:
    if marked is not None:
        return marked != "table" or kind != "table"
    if kind == "table" or _HEADING.match(line) or _OTHER_TURN.match(line):
        return True
    if kind == "tool" or (kind == "item" and line[0] in " \t"):
        return False
    return not line.lstrip()[0].islower()


def _ends_block(line: str, marked: Kind | None, role: _Role) -> bool:
    return (role == "thought" and marked != "table") or _HEADING.match(line) is not None

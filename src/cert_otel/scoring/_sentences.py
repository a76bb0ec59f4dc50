"""Where sentences begin: rules, one pass, no model, no regular expression that looks back twice."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_STOPS: Final = ".!?…‽"
"""End a sentence where white space follows."""
_FULL_STOPS: Final = "。！？｡．।॥؟۔።។៕။།։᠃"  # noqa: RUF001 - what is written
"""End a sentence whatever follows."""
_CLOSERS: Final = "\"'”’»›)]}」』）】》*_`"  # noqa: RUF001 - what is written
_OPENERS: Final = "\"'“‘«‹„([{「『（【《*_`¿¡"  # noqa: RUF001 - what is written
_SPACED: Final = "\u0e01-\u0e2e\u0e30-\u0e45\u0e47-\u0eff"
"""Thai and Lao put a space between clauses and no mark; ฯ and ๆ, which take one, left out."""

# Both parts are possessive, so that a run of stops is read once.
_END: Final = re.compile(
    rf"[{_STOPS}{_FULL_STOPS}]++([{re.escape(_CLOSERS)}]*+)"
    rf"|(?<=[{_SPACED}])[ \t]++(?=[{_SPACED}])"
)
_QUOTED_MAX: Final = 240
"""Characters of a quotation that is kept whole; a longer one is a text with its own steps."""
_QUOTED: Final = re.compile(
    r'(?<!\w)"[^"\n]{1,MAX}+"(?!\w)|`[^`\n]{1,MAX}+`|“[^“”\n]{1,MAX}+”|„[^„“”\n]{1,MAX}+[“”]'
    r"|«[^«»\n]{1,MAX}+»|「[^「」\n]{1,MAX}+」|『[^『』\n]{1,MAX}+』".replace(
        "MAX", str(_QUOTED_MAX)
    )
)
_VISIBLE: Final = re.compile(r"\S")
_WORD_MAX: Final = 16
"""Characters looked at before a full stop: longer words are no abbreviations."""

_ANYWHERE: Final = re.compile(
    r"mrs?|m[sx]|dr|prof|st|gen|col|sgt|capt|lt|rev|hon|gov|sen|rep|vs|cf|viz|al|approx|resp"
    r"|ph\.d|m|mme|mlle|sra|srta|ing|dipl|bzw|z\.b|d\.h|u\.a|p\.ej|ca"
)
_BEFORE_DIGIT: Final = re.compile(
    r"nos?|nr|figs?|eqs?|sec|ch|chap|vol|pp?|art|abs|par|ver|v"
    r"|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec"
)
_BEFORE_SMALL: Final = re.compile(r"etc|inc|ltd|co|corp|jr|sr|dept|est|misc|[ap]\.m|usw")
"""May end a sentence; they do not where no capitals show where one begins."""
_INITIALS: Final = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]")
_ENUMERATOR: Final = re.compile(r"\d{1,3}|[^\W\d_]|[ivxIVX]{1,5}")


def find_starts(text: str, start: int, end: int, *, cased: bool) -> Iterator[int]:
    """Yield where the second and every later sentence of a paragraph begins.

    Args:
        text: The whole text; positions count from its beginning.
        start: Where the paragraph begins.
        end: Where it ends.
        cased: The text uses capitals, so that a small letter continues a sentence.
    """
    quotations = _QUOTED.finditer(text, start, end)
    quotation = next(quotations, None)
    sentence = start
    for mark in _END.finditer(text, start, end):
        visible = _VISIBLE.search(text, mark.end(), end)
        if visible is None:
            return
        while quotation is not None and quotation.end() < mark.end():
            quotation = next(quotations, None)
        if quotation is not None and quotation.start() < mark.end() < quotation.end():
            continue
        if _ends_sentence(text, sentence, mark, visible.start(), cased=cased):
            sentence = visible.start()
            yield sentence


def _ends_sentence(
    text: str, sentence: int, mark: re.Match[str], following: int, *, cased: bool
) -> bool:
    stops, closers = mark[0], mark[1]
    if closers is None:
        return True  # the space of a script without full stops
    spaced = following > mark.end()
    if any(stop in _FULL_STOPS for stop in stops):
        return _ends_unspaced(text, mark, following, spaced=spaced)
    if not spaced:
        return False
    letter = _find_letter(text, following)
    if cased and letter.islower():
        return False
    if stops != "." or closers:
        return True
    return not _is_abbreviation(text, sentence, mark.start(), letter)


def _ends_unspaced(text: str, mark: re.Match[str], following: int, *, spaced: bool) -> bool:
    if mark[1]:
        # 「はい。」と言った: what follows a quotation at once goes on with the sentence.
        return spaced or text[following] in _OPENERS
    before = text[mark.start() - 1 : mark.start()]
    return not (before.isdigit() and text[following].isdigit() and not spaced)


def _find_letter(text: str, position: int) -> str:
    """Return the first character behind quotation marks, brackets and emphasis."""
    while position < len(text) - 1 and text[position] in _OPENERS:
        position += 1
    return text[position]


def _is_abbreviation(text: str, sentence: int, stop: int, following: str) -> bool:
    begin = max(sentence, stop - _WORD_MAX)
    words = text[begin:stop].rsplit(maxsplit=1)
    if not words or text[stop - 1].isspace():
        return True  # ". . ."
    word = words[-1].lstrip(_OPENERS)
    if stop - len(word) == sentence and _ENUMERATOR.fullmatch(word):
        return True  # "2. Then we" after the end of a sentence
    lowered = word.lower()
    if _ANYWHERE.fullmatch(lowered) or (len(word) == 1 and word.isupper() and word != "I"):
        return True
    if _BEFORE_SMALL.fullmatch(lowered):
        return following.islower()
    if following.isdigit() and _BEFORE_DIGIT.fullmatch(lowered):
        return True
    return _INITIALS.fullmatch(word) is not None

"""Text to tokens with offsets: words, numbers, identifiers, and n-grams where no spaces help."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final, Literal

import msgspec

from cert_otel.evaluation.grounding.words import IRREGULAR, NUMBER_WORDS, OPPOSITES, STOP_WORDS

Kind = Literal["word", "number", "code", "gram"]

_MARKS: Final = "\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0900-\u0963\u0970-\u0fff"
"""Vowel signs and the like, which belong to the word and are no letters to `re`."""
_LETTER: Final = rf"(?:[^\W\d_]|[{_MARKS}])"
_CODE: Final = (
    r"(?<![\w-])--[a-z][\w-]*+"  # an option
    r"|[A-Za-z_]\w{0,63}(?:(?:\.|::)[A-Za-z_]\w{0,63}){0,8}\(\)"  # a call
    r"|[A-Za-z]{0,63}_\w+|[A-Za-z]\w{0,63}?_\w+"  # snake_case, CONSTANT_CASE, __dunder__
    r"|[a-z]\w*::\w+(?:::\w+)*"  # a path of modules
)
_TOKEN: Final = re.compile(
    rf"(?P<code>{_CODE})"
    r"|(?P<number>\d+(?:[.,]\d+)*+)"
    rf"|(?P<word>[A-Za-z]+\d[A-Za-z\d]*|{_LETTER}+(?:['’]{_LETTER}+)*+)"  # noqa: RUF001 - what is written
)
_UNSPACED: Final = re.compile(
    "[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\ua000-\ua4cf\uac00-\ud7af"
    "\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]+"
)
"""Scripts without spaces between words, and Hangul, whose particles are glued on."""
_GRAM_UNSPACED: Final = 2
_GRAM_SPACED: Final = 4
"""Characters of an n-gram: of scripts without spaces, of alphabets other than the Latin one."""

_NEGATED: Final = re.compile(r"\w+n['’]t|cannot|(?:do|does|did|is|was|are|has)nt")  # noqa: RUF001

_CONTRACTED: Final = re.compile(r"'(?:s|m|ve|re|ll|d)$")

_STEM_MIN: Final = 3
_SUFFIXES: Final = ("ations", "ation", "ingly", "edly", "ing", "ies", "ied", "ed", "es", "ly", "s")
_VOWELS: Final = "aeiouy"


class Token(msgspec.Struct, frozen=True, gc=False):
    """One term of a text."""

    key: str
    """What two spellings of the same term share."""
    start: int
    end: int
    kind: Kind
    surface: str

    @property
    def is_content(self) -> bool:
        """Says what the text is about; negations, articles, pronouns do not."""
        return self.key not in STOP_WORDS

    @property
    def is_capital(self) -> bool:
        """Written with a capital first letter."""
        return self.kind == "word" and self.surface[0].isupper()


def tokenize(text: str) -> list[Token]:
    """Read a text once, in order; n-grams of a word overlap, other tokens never do."""
    tokens: list[Token] = []
    append = tokens.append
    for match in _TOKEN.finditer(text):
        surface = match[0]
        start = match.start()
        kind = match.lastgroup
        if kind == "word":
            if surface.isascii():
                key, is_number = _word_key(surface)
                append(Token(key, start, match.end(), "number" if is_number else "word", surface))
            else:
                tokens.extend(_tokenize_foreign(surface, start))
        elif kind == "number":
            append(Token(_number_key(surface), start, match.end(), "number", surface))
        else:
            append(Token(surface.lower(), start, match.end(), "code", surface))
    return tokens


def stem(word: str) -> str:
    """Cut a light suffix of an English word in lower case."""
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= _STEM_MIN:
            return _mend(word[: -len(suffix)], suffix, word)
    return word.removesuffix("e") if len(word) > _STEM_MIN + 1 else word


def _mend(stemmed: str, suffix: str, word: str) -> str:
    if suffix in ("ies", "ied"):
        return f"{stemmed}y"
    if suffix == "s" and stemmed[-1] in "su":
        return word  # "class", "census"
    if not any(letter in _VOWELS for letter in stemmed):
        return word  # "string"
    if suffix in ("ing", "ed") and stemmed[-1] == stemmed[-2] and stemmed[-1] not in "lsz":
        return stemmed[:-1]
    return stemmed.removesuffix("e") if len(stemmed) > _STEM_MIN else stemmed


_SYNONYMS: Final = {
    stem(word): stem(first) for pair in OPPOSITES for first, *others in pair for word in others
}
"""The key of each word that says about the same as another."""


@lru_cache(maxsize=1 << 16)
def _word_key(surface: str) -> tuple[str, bool]:
    word = surface.lower()
    if _NEGATED.fullmatch(word):
        return "not", False
    word = _CONTRACTED.sub("", word).replace("'", "")
    if word in STOP_WORDS:
        return ("usa" if surface == "US" else word), False
    if word in NUMBER_WORDS:
        return str(NUMBER_WORDS[word]), True
    stemmed = stem(IRREGULAR.get(word, word))
    return _SYNONYMS.get(stemmed, stemmed), False


def _number_key(surface: str) -> str:
    plain = surface.replace(",", "")
    if plain.count(".") == 1 and plain.isascii():
        return plain.rstrip("0").rstrip(".")
    return plain


def _tokenize_foreign(surface: str, start: int) -> list[Token]:
    """Split what is not ASCII: Latin words stay whole, other scripts become n-grams."""
    tokens: list[Token] = []
    position = 0
    for run in _UNSPACED.finditer(surface):
        tokens.extend(_tokenize_word(surface[position : run.start()], start + position))
        tokens.extend(_cut_grams(run[0], start + run.start(), _GRAM_UNSPACED))
        position = run.end()
    tokens.extend(_tokenize_word(surface[position:], start + position))
    return tokens


def _tokenize_word(word: str, start: int) -> list[Token]:
    if not word:
        return []
    plain = fold(word)
    if plain.isascii():
        key, is_number = _word_key(plain)
        kind: Kind = "number" if is_number else "word"
        return [Token(key, start, start + len(word), kind, word)]
    return _cut_grams(word, start, _GRAM_SPACED)


def _cut_grams(run: str, start: int, size: int) -> list[Token]:
    lowered = run.lower()
    if len(lowered) != len(run):
        lowered = run  # a letter whose small form is two characters: offsets come first
    ends = range(min(size, len(run)), len(run) + 1)
    spans = [(max(0, end - size), end) for end in ends]
    return [
        Token(lowered[first:end], start + first, start + end, "gram", run[first:end])
        for first, end in spans
    ]


@lru_cache(maxsize=1 << 12)
def fold(word: str) -> str:
    """Return a word without accents, its apostrophes straight."""
    decomposed = unicodedata.normalize("NFKD", word.replace("’", "'"))  # noqa: RUF001
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))

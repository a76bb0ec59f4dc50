"""Short answers, word by word: the expected answer, or a quotation from the context.

What is compared are words in lower case, without articles and punctuation; numbers with their
sign, without separators of thousands and trailing zeros, and number words to twelve as digits.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final

from cert_otel.evaluation._verdicts import Identity, Verdict, judge_batch
from cert_otel.evaluation.sample import Evidence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cert_otel.evaluation.sample import Judgement, Sample

EXPECTED: Final = "expected"
"""`source` of a context item that is an answer which is known to be right."""
MAX_WORDS: Final = 12
"""Of what is looked for in a longer text; longer texts are worded in many ways."""
TOO_LONG: Final = "answer_too_long"
REVISION: Final = "exact-1"

_TOKEN: Final = re.compile(
    r"(?<![\w.,])-?\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![\d,])%?"  # 1,234.5
    r"|(?<![\w.,])-?\d+(?:[.,:/]\d+)*%?"
    r"|[^\W\d]\w*|\d+"  # a digit begins no word, wherever it stands: "5km" is "5 km"
)
_ARTICLES: Final = frozenset({"a", "an", "the"})
_WORDS: Final = (
    "zero one two three four five six seven eight nine ten eleven twelve".split()  # noqa: SIM905 - one line
)
_DIGITS: Final = {word: str(number) for number, word in enumerate(_WORDS)}
_MINUS: Final = str.maketrans({"\u2212": "-", "\u2019": "'"})
_POSSESSIVE: Final = re.compile(r"'s\b")
_DECIMAL: Final = re.compile(r"-?\d+\.\d+")


class ExactEvaluator:
    """Scores 1 or 0: does the answer say, word by word, what it should?

    Where the context has items of the source `expected`, those are the right answers: one of
    them must be the answer or, if it is short, occur in it. Else a short answer must occur in a
    passage of the context, and a longer one is skipped. Words alone are compared: "not in 1912"
    states 1912, and `grounding` sees the difference.
    """

    name: Final = "exact"

    def judge(self, samples: Sequence[Sample]) -> list[Judgement]:
        """Judge a batch: one judgement per sample, in order."""
        identity = Identity(self.name, "cert-otel", REVISION, threshold=1.0)
        return judge_batch(samples, lambda batch: [_compare(one) for one in batch], identity)


def normalise(text: str) -> tuple[str, ...]:
    """Return the words of a text as they are compared."""
    plain = unicodedata.normalize("NFKC", text).translate(_MINUS).casefold()
    tokens = (_normalise_token(token) for token in _TOKEN.findall(_POSSESSIVE.sub("", plain)))
    return tuple(token for token in tokens if token not in _ARTICLES)


def _normalise_token(token: str) -> str:
    if not token.lstrip("-")[:1].isdigit():
        return _DIGITS.get(token, token)
    number, percent = token.removesuffix("%"), token.endswith("%")
    if re.fullmatch(r"-?\d{1,3}(?:,\d{3})+(?:\.\d+)?", number):
        number = number.replace(",", "")
    if _DECIMAL.fullmatch(number):
        number = number.rstrip("0").rstrip(".")
    return number + "%" * percent


def _compare(sample: Sample) -> Verdict:
    answer = normalise(sample.answer)
    if not answer:
        return Verdict(reason="no_words")
    expected = [normalise(item.text) for item in sample.context if item.source == EXPECTED]
    if expected:
        return _decide(sample, any(_states(answer, words) for words in expected))
    if len(answer) > MAX_WORDS:
        return Verdict(reason=TOO_LONG)
    return _decide(sample, any(_holds(normalise(item.text), answer) for item in sample.context))


def _states(answer: tuple[str, ...], expected: tuple[str, ...]) -> bool:
    if answer == expected:
        return True
    return 0 < len(expected) <= MAX_WORDS and _holds(answer, expected)


def _holds(text: tuple[str, ...], words: tuple[str, ...]) -> bool:
    """Tell whether the words occur in the text, next to each other."""
    width = len(words)
    return any(text[i : i + width] == words for i in range(len(text) - width + 1))


def _decide(sample: Sample, found: bool) -> Verdict:
    if found:
        return Verdict(score=1.0)
    return Verdict(score=0.0, evidence=(Evidence(start=0, end=len(sample.answer), kind="span"),))

"""Labelled answers for training and measuring: rows as `cert validate` reads them.

    python models/evaluation/datasets.py --data FOLDER --out build/evaluation

writes each set as `NAME.jsonl`. The folder holds the public files, unmodified, of
docs/evaluation.md. All sets of one family are made from the same texts: what was fitted on one
of them has seen the others, so families are what is left out, never sets.

Everything is drawn with one seed: the same folder gives the same rows.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import random
import re
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

Family = Literal["halueval", "squad", "summedits", "begin"]
FAMILIES: Final[tuple[Family, ...]] = ("halueval", "squad", "summedits", "begin")
ROWS: Final = 2000
"""At most so many rows a set."""
SHORT_WORDS: Final = 4
"""HaluEval's right answers have 2.1 words, its wrong ones 9.6: up to here length tells little."""

SQUAD: Final = Path("squad_v2_half_dev") / "dev-v2.0.json"
XQUAD: Final = Path("xquad_en") / "xquad.en.json"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One labelled answer."""

    id: str
    family: Family
    group: str
    """Document or article: rows of one group are never on both sides of a split."""
    question: str | None
    context: str
    answer: str
    label: int
    """1 when the context bears the answer out as an answer to the question."""


class Asked(NamedTuple):
    """One question of SQuAD with what it may be answered by."""

    id: str
    article: str
    paragraph: int
    context: str
    question: str
    golds: tuple[str, ...]
    plausible: tuple[str, ...]


def load_sets(folder: Path, *, rows: int = ROWS) -> dict[str, list[Row]]:
    """Load every set, by name.

    Args:
        folder: With `halueval/`, `squad_v2_half_dev/`, `xquad_en/`, `summedits/`, `begin/`.
        rows: At most so many of each; both labels alike where the set is made of pairs.
    """
    halueval = list(read_halueval(folder / "halueval"))
    squad, xquad = read_squad(folder / SQUAD), read_squad(folder / XQUAD)
    sets = {
        "halueval": halueval,
        "halueval_short": [row for row in halueval if len(row.answer.split()) <= SHORT_WORDS],
        "squad_other_article": pair(squad, choose_other_article, name="oa", rows=rows),
        "squad_same_article": pair(squad, choose_same_article, name="sa", rows=rows),
        "squad_same_paragraph": pair(squad, choose_same_paragraph, name="sp", rows=rows),
        "squad_plausible": list(read_plausible(squad)),
        "xquad_same_paragraph": pair(xquad, choose_same_paragraph, name="xq-sp", rows=rows),
        "summedits": list(read_summedits(folder / "summedits")),
        "begin": list(read_begin(folder / "begin")),
    }
    return {name: draw(found, rows=rows) for name, found in sets.items()}


def draw(found: Sequence[Row], *, rows: int) -> list[Row]:
    """Keep as many rows as asked for, drawn with seed 0, in their order."""
    if len(found) <= rows:
        return list(found)
    kept = sorted(random.Random(0).sample(range(len(found)), rows))  # noqa: S311 - a sample
    return [found[i] for i in kept]


def read_halueval(folder: Path) -> Iterator[Row]:
    """Read the right answer once, and the hallucinated ones of both files."""
    for turn in ("one", "multi"):
        for item in read_lines(folder / f"qa_{turn}-turn_data.json"):
            group = fingerprint(item["knowledge"])
            answers = [(item["hallucinated_answer"], 0)]
            if turn == "one":  # both files have the same questions and right answers
                answers.append((item["right_answer"], 1))
            for answer, label in answers:
                yield Row(
                    id=f"halueval-{turn}-{group}-{label}",
                    family="halueval",
                    group=group,
                    question=item["question"],
                    context=item["knowledge"],
                    answer=answer,
                    label=label,
                )


def read_squad(path: Path) -> list[Asked]:
    """Read the questions of a file in SQuAD's form."""
    articles = json.loads(path.read_text(encoding="utf-8"))["data"]
    return [
        Asked(
            id=item["id"],
            article=article["title"],
            paragraph=number,
            context=paragraph["context"],
            question=item["question"],
            golds=texts_of(item.get("answers", ())),
            plausible=texts_of(item.get("plausible_answers", ())),
        )
        for article in articles
        for number, paragraph in enumerate(article["paragraphs"])
        for item in paragraph["qas"]
    ]


def texts_of(answers: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """List the answers of several annotators, each once."""
    return tuple(dict.fromkeys(answer["text"] for answer in answers if answer["text"].strip()))


def read_plausible(asked: Sequence[Asked]) -> Iterator[Row]:
    """Gold answers, and what annotators found plausible where there is no answer."""
    for item in asked:
        if item.golds:
            yield squad_row(item, item.golds[0], 1, name="pl")
        elif item.plausible:
            yield squad_row(item, item.plausible[0], 0, name="pl")


def pair(
    asked: Sequence[Asked],
    choose: Callable[[Asked, Sequence[Asked]], list[str]],
    *,
    name: str,
    rows: int,
) -> list[Row]:
    """Give each question its gold answer and a wrong one of the same type.

    Args:
        asked: The questions; those without gold answer are left out.
        choose: Lists the wrong answers of a question among those of all questions with a gold
            answer of its type.
        name: Goes into the ids.
        rows: Two for each question that is drawn.
    """
    answerable = [item for item in asked if item.golds]
    alike = defaultdict(list)
    for item in answerable:
        alike[type_of(item.golds[0])].append(item)
    source = random.Random(0)  # noqa: S311 - a sample
    found: list[Row] = []
    for item in source.sample(answerable, len(answerable)):
        others = alike[type_of(item.golds[0])]
        wrong = [text for text in choose(item, others) if not overlaps(text, item)]
        if wrong:
            found.append(squad_row(item, item.golds[0], 1, name=name))
            found.append(squad_row(item, source.choice(wrong), 0, name=name))
        if len(found) >= rows:
            break
    return found


def choose_other_article(item: Asked, asked: Sequence[Asked]) -> list[str]:
    """List answers from other articles that the context does not hold."""
    return [
        one.golds[0]
        for one in asked
        if one.article != item.article and not is_in(one.golds[0], item.context)
    ]


def choose_same_article(item: Asked, asked: Sequence[Asked]) -> list[str]:
    """List answers from other paragraphs of the article that the context does not hold."""
    return [
        one.golds[0]
        for one in asked
        if one.article == item.article
        and one.paragraph != item.paragraph
        and not is_in(one.golds[0], item.context)
    ]


def choose_same_paragraph(item: Asked, asked: Sequence[Asked]) -> list[str]:
    """List answers to other questions about the same paragraph: the context holds them all."""
    return [
        one.golds[0]
        for one in asked
        if (one.article, one.paragraph) == (item.article, item.paragraph) and one.id != item.id
    ]


def overlaps(text: str, item: Asked) -> bool:
    """Whether a text is part of a gold answer, or holds one."""
    return any(is_in(text, gold) or is_in(gold, text) for gold in item.golds)


def is_in(text: str, whole: str) -> bool:
    """Whether one text occurs in another, in whatever case."""
    return text.casefold() in whole.casefold()


def type_of(text: str) -> Literal["year", "number", "name", "words"]:
    """Type of an answer, by its look."""
    if re.search(r"\b1\d{3}\b|\b20\d\d\b", text):
        return "year"
    if re.search(r"\d", text):
        return "number"
    return "name" if re.search(r"\b[A-Z]", text) else "words"


def squad_row(item: Asked, answer: str, label: int, *, name: str) -> Row:
    """Make a row of a question and an answer."""
    return Row(
        id=f"squad-{name}-{item.id}-{label}",
        family="squad",
        group=item.article,
        question=item.question,
        context=item.context,
        answer=answer,
        label=label,
    )


def read_summedits(folder: Path) -> Iterator[Row]:
    """Read summaries, as they are and edited, of all domains that are there."""
    for path in sorted(folder.glob("summedits_*.json")):
        for item in json.loads(path.read_text(encoding="utf-8")):
            yield Row(
                id=f"{path.stem}-{item['id']}",
                family="summedits",
                group=fingerprint(item["doc"]),
                question=None,
                context=item["doc"],
                answer=item["summary"],
                label=item["label"],
            )


def read_begin(folder: Path) -> Iterator[Row]:
    """Read dialogue answers with the knowledge they were given; the message is the question."""
    for path in sorted(folder.glob("begin_*.tsv")):
        with path.open(encoding="utf-8", newline="") as file:
            items = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            for number, item in enumerate(items):
                yield Row(
                    id=f"{path.stem}-{number}",
                    family="begin",
                    group=fingerprint(item["knowledge"]),
                    question=item["message"],
                    context=item["knowledge"],
                    answer=item["response"],
                    label=int(item["begin_label"] == "Fully attributable"),
                )


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Read JSON lines."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def fingerprint(text: str) -> str:
    """Name a document by its content."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def main() -> None:
    """Write each set as JSON lines."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the public files")
    parser.add_argument("--out", type=Path, default=Path("build/evaluation"))
    parser.add_argument("--rows", type=int, default=ROWS, help="of each set, at most")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    encoder = msgspec.json.Encoder()
    for name, rows in load_sets(arguments.data, rows=arguments.rows).items():
        (arguments.out / f"{name}.jsonl").write_bytes(encoder.encode_lines(rows))
        positive = sum(row.label for row in rows)
        sys.stdout.write(f"{name:22}{len(rows):6} rows, {positive:5} borne out\n")


if __name__ == "__main__":
    main()

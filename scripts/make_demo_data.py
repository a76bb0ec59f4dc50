"""Make `examples/data/support_dialogues.jsonl` from the BEGIN benchmark.

Takes the folder that holds `begin_dev_wow.tsv` and `begin_test_wow.tsv` (the `wow` folder of
https://github.com/google/BEGIN-dataset) and writes the same bytes every time:

    python scripts/make_demo_data.py PATH_TO_BEGIN [OUTPUT]

Texts are copied as they are, but for the spaces that tokenisers put before punctuation in some
answers. examples/data/README.md says where they come from and under which licence.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FILES: Final = ("begin_dev_wow.tsv", "begin_test_wow.tsv")
OUTPUT: Final = Path(__file__).parents[1] / "examples" / "data" / "support_dialogues.jsonl"
TOPICS: Final = re.compile(
    r"\b(archery|bicycles?|board games?|bowling|candy|cardigans?|cheese|chocolate|coffee"
    r"|guitars?|honey|knitted|skiing|skis?|sweaters?|tea|video games?)\b",
    re.IGNORECASE,
)
"""What a shop for leisure goods is asked about."""
PER_LABEL: Final = 44
PER_PASSAGE: Final = 4
"""So that no passage dominates; several models answered from each."""
PASSAGE_CHARS: Final = range(60, 501)
QUESTION_CHARS: Final = range(20, 301)
MIN_ANSWER_WORDS: Final = 6


def read_rows(folder: Path) -> Iterator[dict[str, str]]:
    """Read the rows of both files, each with the file it came from."""
    for name in FILES:
        with (folder / name).open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
                yield {**row, "file": name}


def is_suitable(row: dict[str, str]) -> bool:
    """Tell whether a row is a question on our topics with an answer of some length."""
    question, passage = row["message"].strip(), row["knowledge"].strip()
    return (
        question.endswith("?")
        and len(question) in QUESTION_CHARS
        and len(passage) in PASSAGE_CHARS
        and len(row["response"].split()) >= MIN_ANSWER_WORDS
        and TOPICS.search(passage) is not None
    )


def digest(row: dict[str, str]) -> str:
    """Return an id that depends on the text alone; it is the order of choice as well."""
    text = "\x1f".join((row["model_name"], row["knowledge"], row["message"], row["response"]))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def choose(rows: Iterable[dict[str, str]]) -> list[dict[str, str]]:
    """Choose as many attributable answers as not attributable ones, each question once."""
    labels: Counter[str] = Counter()
    passages: Counter[str] = Counter()
    questions: set[str] = set()
    chosen = []
    for row in sorted(rows, key=digest):
        passage, question = row["knowledge"].lower(), row["message"].strip().lower()
        label = row["begin_label"]
        full = labels[label] == PER_LABEL or passages[passage] == PER_PASSAGE
        if full or question in questions:
            continue
        labels[label] += 1
        passages[passage] += 1
        questions.add(question)
        chosen.append(row)
    return chosen


def tidy(text: str) -> str:
    """Undo what tokenising for GPT-2 and DoHA did to the spaces around punctuation."""
    text = re.sub(r"\s+([.,;:!?)])", r"\1", text.strip())
    return re.sub(r"(\w) ('(?:s|m|re|ve|d|ll)|n't)\b", r"\1\2", text)


def convert(row: dict[str, str]) -> dict[str, str]:
    """Make the line of one row."""
    return {
        "id": f"begin-wow-{digest(row)}",
        "source": f"google/BEGIN-dataset wow/{row['file']}",
        "question": row["message"].strip(),
        "context": row["knowledge"].strip(),
        "answer": tidy(row["response"]),
        "answered_by": row["model_name"],
        "label": row["begin_label"],
    }


def main(arguments: list[str]) -> int:
    """Write the file and say what is in it."""
    if not 1 <= len(arguments) <= len(("folder", "output")):
        print(__doc__, file=sys.stderr)
        return 2
    output = Path(arguments[1]) if arguments[1:] else OUTPUT
    lines = [convert(row) for row in choose(filter(is_suitable, read_rows(Path(arguments[0]))))]
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    output.write_text(text, encoding="utf-8")
    print(f"{output}: {len(lines)} dialogues, {Counter(line['label'] for line in lines)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

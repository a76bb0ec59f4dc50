"""Records on disk, plain: what writes the journal and what reads it back.

`JSONLSpanExporter` is the exporter `cert_jsonl`; `read_journal` is the way back, and `resolve`
its pure part. docs/record.md describes the files, the fields and the rules by which lines
become calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cert_otel._lazy import load_when_asked

if TYPE_CHECKING:
    from cert_otel.journal._exporter import JSONLSpanExporter
    from cert_otel.journal._identity import (
        find_heirs,
        fold,
        join_evaluations,
        mark_duplicates,
        resolve,
        spread_context,
    )
    from cert_otel.journal._line import decode_line
    from cert_otel.journal._reader import (
        MAX_PROBLEMS,
        FileReport,
        Journal,
        Line,
        Tally,
        find_journal_files,
        get_scores_path,
        list_problems,
        read_journal,
        read_lines,
    )
    from cert_otel.journal._writer import Appended, JSONLWriter

__all__ = [
    "MAX_PROBLEMS",
    "Appended",
    "FileReport",
    "JSONLSpanExporter",
    "JSONLWriter",
    "Journal",
    "Line",
    "Tally",
    "decode_line",
    "find_heirs",
    "find_journal_files",
    "fold",
    "get_scores_path",
    "join_evaluations",
    "list_problems",
    "mark_duplicates",
    "read_journal",
    "read_lines",
    "resolve",
    "spread_context",
]

# An application only writes: it must not wait for what reads.
__getattr__ = load_when_asked(
    __name__,
    {
        "_exporter": ["JSONLSpanExporter"],
        "_identity": [
            "find_heirs",
            "fold",
            "join_evaluations",
            "mark_duplicates",
            "resolve",
            "spread_context",
        ],
        "_line": ["decode_line"],
        "_reader": [
            "MAX_PROBLEMS",
            "FileReport",
            "Journal",
            "Line",
            "Tally",
            "find_journal_files",
            "get_scores_path",
            "list_problems",
            "read_journal",
            "read_lines",
        ],
        "_writer": ["Appended", "JSONLWriter"],
    },
)

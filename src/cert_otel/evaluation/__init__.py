"""Is an answer borne out by what it was given? Scores in [0, 1], each with its evidence.

`sample.py` holds what evaluators take and give; docs/evaluation.md says what each one measures,
and what it cannot see.
"""

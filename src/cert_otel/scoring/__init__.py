"""Text to figures: what a causal language model, read in one pass, says of an answer.

Pure: no telemetry, no files but model folders, no network but a model hub or a remote backend.
Each module is imported by its own name, because torch takes seconds to load:
`token_scores` (the definitions), `models`, `prompts`, `scorer`; `steps`, `embedding`,
`phase_space`, `paths`, `gates`; `answers`, `backends` and `monitor` put both together.
"""

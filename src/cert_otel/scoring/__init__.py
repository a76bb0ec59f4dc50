"""Text to figures: what a language model finds surprising, and how the reasoning moves.

Pure: no telemetry, no files but model folders, no network but a model hub or a remote backend.
Each module is imported by its own name, because torch takes seconds to load:
`token_scores` (the definitions), `models`, `prompts`, `engine`; `steps`, `embedding`,
`phase_space`, `gates`; `answers` puts both together for a recorded call.
"""

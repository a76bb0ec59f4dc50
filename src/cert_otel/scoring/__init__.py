"""Text to figures: what a language model finds surprising, and how the reasoning moves.

Pure: no telemetry, no files but model folders, no network but a remote scoring backend.
"""

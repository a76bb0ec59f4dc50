"""Spans of any origin to records, as pure functions.

Sources give plain spans (`span.Span`): `spans` those of the OpenTelemetry SDK in this process,
`otlp_json` and `otlp_proto` those of OTLP. `dialects` brings the names of other conventions to
those of the GenAI ones, and `reading.read_batch` makes records of them; `details` joins what was
written as log events. `otlp_write` is the way back.
"""

"""Spans of any origin to records, as pure functions: one module for each encoding.

`spans` reads the spans of the OpenTelemetry SDK in this process.
"""

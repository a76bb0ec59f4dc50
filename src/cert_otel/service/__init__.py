"""The scorer service: OTLP in, on disk, acknowledged; scored after, in another process.

`cert serve` is its command. A receiver process (`receiver/`) takes OTLP and puts the bytes into
the inbox (`inbox.py`); scorer processes take them out. `supervisor.py` keeps both alive,
`settings.py` says what `cert.yaml` may hold.
"""

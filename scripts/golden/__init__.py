"""What `scripts/make_golden.py` runs: scenarios, applications in a peer's environment, and OTLP."""

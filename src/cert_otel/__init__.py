"""cert-otel: every model call of an application as a priced, verifiable record."""

"""What is particular to one SDK, one package each; everything else is in `cert_otel.capture`."""

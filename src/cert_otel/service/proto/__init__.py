"""Messages and stubs of `cert.scorer.v1`, made by scripts/generate_proto.py; edit the .proto in collector/."""

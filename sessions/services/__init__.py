"""Start, rotate, validate and revoke sessions."""

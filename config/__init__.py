"""The wiring. `VERSION` is the release's, told by `/metrics`, the OpenAPI document and the image."""

VERSION = "0.2.0"

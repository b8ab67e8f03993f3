"""The Django project: settings, URLs, servers. `VERSION` appears in `/metrics`, the OpenAPI document and the image."""

VERSION = "0.2.0"

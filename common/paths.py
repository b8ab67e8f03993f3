"""Path converters of the product, registered when the app starts."""

from django.urls.converters import UUIDConverter


class AnyCaseUUID(UUIDConverter):
    """A UUID in either case: RFC 9562 §4 wants both read alike, and Swift's `uuidString` is in capitals."""

    regex = UUIDConverter.regex.replace("a-f", "a-fA-F")

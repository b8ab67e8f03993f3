"""Path converters of the product, registered when the app starts."""

from django.urls.converters import UUIDConverter


class AnyCaseUUID(UUIDConverter):
    """A UUID in either case: RFC 9562 §4 requires reading both, and Swift's `uuidString` is upper case."""

    regex = UUIDConverter.regex.replace("a-f", "a-fA-F")

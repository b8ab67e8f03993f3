"""Serializer fields that accept only the JSON type in the schema: `"5"` is no integer, `5` no string."""

from typing import Any
from uuid import UUID

from rest_framework import serializers

from common.text import is_blank

# The range of a bigint column.
BIGINT_MAX = 2**63 - 1


class StrictCharField(serializers.CharField):
    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return str(super().to_internal_value(data))


class VisibleCharField(StrictCharField):
    """A text with visible characters: one of only invisible characters counts as blank."""

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        if is_blank(text):
            if not self.allow_blank:
                self.fail("blank")
            return ""
        return text


class StrictUUIDField(serializers.UUIDField):
    """A UUID as text: DRF's own field also accepts any integer."""

    def to_internal_value(self, data: Any) -> UUID:
        if not isinstance(data, str):
            self.fail("invalid", value=data)
        return UUID(str(super().to_internal_value(data)))


class StrictBooleanField(serializers.BooleanField):
    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class StrictIntegerField(serializers.IntegerField):
    """An integer that fits a bigint; 12.0 is one (JSON Schema), true is none."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"max_value": BIGINT_MAX, "min_value": 0, **kwargs})

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not isinstance(data, int | float) or data != data // 1:
            self.fail("invalid")
        return int(data)

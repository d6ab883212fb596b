"""What all models have in common: tolerant when they read, strict when they write, discreet when shown.

Models are frozen: each is what a server said at one moment, and may be handed to several threads.
Ask again (`refresh()`) for news; use `model_copy(update=…)` for a variant.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from enum import Enum
from typing import Annotated, Any

from pydantic import BaseModel, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

JsonObject = dict[str, Any]

_MASK = "**********"
_SECRET_NAME = re.compile(r"(api_?key|token|secret|password|authorization)s?$", re.IGNORECASE)
_ISO_START = r"^\d{4}-\d\d-\d\d[Tt ]\d\d:"
_SECRET_IN_URL = re.compile(r"([?&](?:tkn|[\w-]*(?:token|key|secret|password))=)[^&#\s]+", re.IGNORECASE)


def redacted(value: Any, name: str = "") -> Any:
    """`value` as it may be shown: secrets masked by the names they go by, also deep inside."""
    if isinstance(value, str):
        return _MASK if value and _SECRET_NAME.search(name) else _SECRET_IN_URL.sub(rf"\1{_MASK}", value)
    if isinstance(value, dict):
        return {key: redacted(item, str(key)) for key, item in value.items()}
    if isinstance(value, list):
        return [redacted(item, name) for item in value]
    return value


class _Shown(BaseModel, frozen=True):
    """A model whose `repr` and `str` never show a secret, whether we know the field or not."""

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            # An enumeration is a string too, but hides nothing and shows itself better.
            yield name, value if isinstance(value, Enum) else redacted(value, name or "")


class WireModel(_Shown, frozen=True, extra="allow", defer_build=True, hide_input_in_errors=True):
    """Something a server sent. Unknown fields are kept, as attributes and in `model_extra`.

    `defer_build` postpones pydantic's compilation of a model to its first use.
    """

    def to_dict(self) -> JsonObject:
        """The JSON document this was read from: what was not sent is not there."""
        return self.model_dump(mode="json", exclude_unset=True)

    def to_json(self) -> str:
        """`to_dict()` as JSON text."""
        return self.model_dump_json(exclude_unset=True)


class RequestModel(_Shown, frozen=True, extra="forbid", defer_build=True, hide_input_in_errors=True):
    """Something we send. Unknown fields are refused: a server might ignore them silently."""

    def to_dict(self) -> JsonObject:
        """The JSON body: what is None is left to the server."""
        return self.model_dump(mode="json", exclude_none=True)

    def to_json(self) -> str:
        """`to_dict()` as JSON text."""
        return self.model_dump_json(exclude_none=True)


class _IsoText:
    """Reads a datetime from ISO 8601 text only.

    Pydantic alone would take the number 5 and the text "5" for seconds since 1970.
    """

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        text = core_schema.chain_schema([core_schema.str_schema(pattern=_ISO_START), handler(source)])
        instance = core_schema.datetime_schema(strict=True)
        either = core_schema.union_schema([instance, text], mode="left_to_right")
        return core_schema.json_or_python_schema(json_schema=text, python_schema=either)


class _OrAsSent:
    """Reads a value as its type if it can be, and keeps it as it was sent if not."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.union_schema([handler(source), core_schema.any_schema()], mode="left_to_right")


# A point in time as the server wrote it: aware when it named a zone, naive when it did not.
Timestamp = Annotated[datetime, _IsoText()]
OrAsSent = _OrAsSent()

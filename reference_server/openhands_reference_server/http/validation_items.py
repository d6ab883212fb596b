"""Says in the words of pydantic what JSON Schema found wrong with a request.

Clients of the real servers see items `{type, loc, msg, input, ctx?}` with pydantic's stable type names, so
this is what a validation failure looks like here, too. One rule is ours: an enumeration that has a name of
its own in the document is `enum`, one written in place is `literal_error`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from jsonschema_rs import ValidationError, ValidationErrorKind

Item: TypeAlias = dict[str, Any]
Location: TypeAlias = tuple[str | int, ...]

_NAMED_SCHEMA_DEPTH = 4  # components/schemas/<name>/enum


def item(type_: str, loc: Location, msg: str, given: Any, ctx: Mapping[str, Any] | None = None) -> Item:
    """One entry of the `detail` list."""
    entry: Item = {"type": type_, "loc": list(loc), "msg": msg, "input": given}
    if ctx is not None:
        entry["ctx"] = dict(ctx)
    return entry


def missing(loc: Location, given: Any = None) -> Item:
    """Something required is not there."""
    return item("missing", loc, "Field required", given)


def json_invalid(loc: Location, reason: str) -> Item:
    """Text that should be JSON is not."""
    return item("json_invalid", loc, "JSON decode error", {}, {"error": reason})


def wrong_type(expected: str, loc: Location, given: Any, *, model: bool = False) -> Item:
    """A value of another JSON type than `expected`; `model` marks an object with known fields."""
    match expected, given:
        case "string", _:
            return item("string_type", loc, "Input should be a valid string", given)
        case "integer", str():
            message = "Input should be a valid integer, unable to parse string as an integer"
            return item("int_parsing", loc, message, given)
        case "integer", float():
            message = "Input should be a valid integer, got a number with a fractional part"
            return item("int_from_float", loc, message, given)
        case "integer", _:
            return item("int_type", loc, "Input should be a valid integer", given)
        case "number", _:
            return item("float_type", loc, "Input should be a valid number", given)
        case "boolean", str():
            return item(
                "bool_parsing", loc, "Input should be a valid boolean, unable to interpret input", given
            )
        case "boolean", _:
            return item("bool_type", loc, "Input should be a valid boolean", given)
        case "array", _:
            return item("list_type", loc, "Input should be a valid list", given)
        case "object", _ if model:
            message = "Input should be a valid dictionary or object to extract fields from"
            return item("model_attributes_type", loc, message, given)
        case "object", _:
            return item("dict_type", loc, "Input should be a valid dictionary", given)
        case _:
            return item("none_required", loc, "Input should be None", given)


def items(
    errors: Iterable[ValidationError], loc: Location, given: Any, document: Mapping[str, Any]
) -> list[Item]:
    """Describe what is wrong with `given`, which was found at `loc`.

    `document` is what the paths in the errors lead through.
    """
    by_place: dict[Location, list[ValidationError]] = {}
    for error in _probable_errors(errors):
        by_place.setdefault(_true_path(given, error.instance_path), []).append(error)
    return [
        entry
        for place, group in by_place.items()
        for entry in _describe(group, (*loc, *place), _at(given, place), document)
    ]


def _true_path(node: Any, path: Iterable[str | int]) -> Location:
    """The path as it leads through the document: the validator takes keys that look like numbers for numbers."""
    steps: list[str | int] = []
    for step in path:
        known = _key_of(node, step) if isinstance(node, Mapping) else step
        steps.append(known)
        node = node[known]
    return tuple(steps)


def _key_of(node: Mapping[str, Any], step: str | int) -> str:
    if str(step) in node:
        return str(step)
    return next(key for key in node if key.isascii() and key.lstrip("+").isdigit() and int(key) == step)


def _probable_errors(errors: Iterable[ValidationError]) -> Iterator[ValidationError]:
    """Replace each "fits none of these" by what is wrong with the alternative that was probably meant."""
    for error in errors:
        if not isinstance(error.kind, (ValidationErrorKind.AnyOf, ValidationErrorKind.OneOfNotValid)):
            yield error
            continue
        depth = len(error.instance_path)
        alternatives = [branch for branch in error.kind.context if not _is_about_null(branch, depth)]
        fitting = [branch for branch in alternatives if not _tags(branch, depth)]
        if fitting or len(alternatives) == 1:
            probable: Sequence[ValidationError] = min(fitting or alternatives, key=len)
            yield from _probable_errors(probable)
        else:
            yield from (tag for branch in alternatives for tag in _tags(branch, depth))


def _is_about_null(branch: Sequence[ValidationError], depth: int) -> bool:
    """Whether an alternative is just "or null"."""
    return any(
        isinstance(error.kind, ValidationErrorKind.Type)
        and error.kind.types == ["null"]
        and len(error.instance_path) == depth
        for error in branch
    )


def _tags(branch: Sequence[ValidationError], depth: int) -> list[ValidationError]:
    """What rules an alternative out: another value in a field that has a fixed one, such as `type`."""
    return [error for error in branch if _is_tag(error) and len(error.instance_path) == depth + 1]


def _is_tag(error: ValidationError) -> bool:
    return isinstance(error.kind, (ValidationErrorKind.Constant, ValidationErrorKind.Enum))


def _options(error: ValidationError) -> list[Any]:
    match error.kind:
        case ValidationErrorKind.Enum(options):
            return options
        case ValidationErrorKind.Constant(option):
            return [option]
        case _:
            return []


def _describe(
    errors: Sequence[ValidationError], place: Location, value: Any, document: Mapping[str, Any]
) -> Iterator[Item]:
    """Say what is wrong at one place: each field missing or too many, or else one reason, the type first."""
    error = next((error for error in errors if isinstance(error.kind, ValidationErrorKind.Type)), errors[0])
    schema = _at(document, error.schema_path[:-1])
    match error.kind:
        case ValidationErrorKind.Type(types):
            expected = next((name for name in types if name != "null"), "null")
            yield wrong_type(expected, place, value, model="properties" in schema)
        case ValidationErrorKind.Required() | ValidationErrorKind.AdditionalProperties():
            yield from _wrong_fields(errors, place, value)
        case ValidationErrorKind.Constant() | ValidationErrorKind.Enum():
            # Alternatives told apart by this field have one error each; the item names all their values.
            options = [option for error in errors for option in _options(error)]
            yield _not_among(error, place, options, value)
        case ValidationErrorKind.Pattern() | ValidationErrorKind.Format():
            yield _malformed(schema, place, value)
        case kind:
            yield _out_of_bounds(kind, place, value, error.message)


def _wrong_fields(errors: Iterable[ValidationError], place: Location, value: Any) -> Iterator[Item]:
    for error in errors:
        match error.kind:
            case ValidationErrorKind.Required(name):
                yield missing((*place, name), value)
            case ValidationErrorKind.AdditionalProperties(names):
                for name in names:
                    yield item(
                        "extra_forbidden", (*place, name), "Extra inputs are not permitted", value[name]
                    )
            case _:
                continue


def _at(node: Any, path: Sequence[str | int]) -> Any:
    for step in path:
        node = node[step]
    return node


def _not_among(error: ValidationError, loc: Location, options: Sequence[Any], given: Any) -> Item:
    named = isinstance(error.kind, ValidationErrorKind.Enum) and len(error.schema_path) == _NAMED_SCHEMA_DEPTH
    type_ = "enum" if named else "literal_error"
    quoted = [repr(option) for option in options]
    expected = quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"
    return item(type_, loc, f"Input should be {expected}", given, {"expected": expected})


def _malformed(schema: Mapping[str, Any], loc: Location, given: Any) -> Item:
    match schema.get("format"):
        case "any-uuid":
            reason = "expected 32 hexadecimal digits, with or without dashes"
            return item(
                "uuid_parsing", loc, f"Input should be a valid UUID, {reason}", given, {"error": reason}
            )
        case "iso-date-time":
            reason = "expected YYYY-MM-DDTHH:MM:SS with an optional fraction and offset"
            message = f"Input should be a valid datetime or date, {reason}"
            return item("datetime_from_date_parsing", loc, message, given, {"error": reason})
        case _:
            pattern = schema.get("pattern", "")
            message = f"String should match pattern '{pattern}'"
            return item("string_pattern_mismatch", loc, message, given, {"pattern": pattern})


def _out_of_bounds(kind: ValidationErrorKind, loc: Location, given: Any, fallback: str) -> Item:
    match kind:
        case ValidationErrorKind.MinLength(limit):
            message = f"String should have at least {_plural(limit, 'character')}"
            return item("string_too_short", loc, message, given, {"min_length": limit})
        case ValidationErrorKind.MaxLength(limit):
            message = f"String should have at most {_plural(limit, 'character')}"
            return item("string_too_long", loc, message, given, {"max_length": limit})
        case ValidationErrorKind.Minimum(limit):
            message = f"Input should be greater than or equal to {limit}"
            return item("greater_than_equal", loc, message, given, {"ge": limit})
        case ValidationErrorKind.ExclusiveMinimum(limit):
            return item("greater_than", loc, f"Input should be greater than {limit}", given, {"gt": limit})
        case ValidationErrorKind.Maximum(limit):
            message = f"Input should be less than or equal to {limit}"
            return item("less_than_equal", loc, message, given, {"le": limit})
        case ValidationErrorKind.MinItems(limit):
            message = f"List should have at least {_plural(limit, 'item')} after validation, not {len(given)}"
            context = {"field_type": "List", "min_length": limit, "actual_length": len(given)}
            return item("too_short", loc, message, given, context)
        case ValidationErrorKind.MaxItems(limit):
            message = f"List should have at most {_plural(limit, 'item')} after validation, not {len(given)}"
            context = {"field_type": "List", "max_length": limit, "actual_length": len(given)}
            return item("too_long", loc, message, given, context)
        case _:
            return item("value_error", loc, fallback, given)


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"

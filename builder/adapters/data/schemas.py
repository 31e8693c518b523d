"""The published JSON schemas, and what a document has against its own, in words for people."""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import cast

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from builder.adapters.data.yaml_files import Document, JSONValue
from builder.domain.fault import Fault, FieldPath, did_you_mean, nearest

_MISSING = "is missing"


def faults(document: Document, schema: str) -> list[Fault]:
    """Return all that `document` has against `schema` (`matrix`, `image`), in file order."""
    if document.faults and document.value is None:
        return list(document.faults)
    errors = list(validator(schema).iter_errors(document.value))
    quoted = {fault.where for fault in document.faults}
    found = [fault for error in errors for fault in _in_words(error) if fault.where not in quoted]
    meant = {where for error in errors for where in _meant(error)}
    kept = [fault for fault in found if fault.message != _MISSING or fault.where not in meant]
    return list(dict.fromkeys([*document.faults, *kept]))


@cache
def validator(schema: str) -> Draft202012Validator:
    """Return the validator of one published schema."""
    text = files("builder").joinpath("schemas", f"{schema}.schema.json").read_text("utf-8")
    return Draft202012Validator(json.loads(text))


def _schema(error: ValidationError) -> Mapping[str, JSONValue]:
    return cast("Mapping[str, JSONValue]", error.schema)


def _in_words(error: ValidationError) -> Iterator[Fault]:
    where: FieldPath = tuple(error.absolute_path)
    if "propertyNames" in error.absolute_schema_path:
        where = (*where, str(error.instance))
    if error.validator == "additionalProperties":
        yield from _unknown_fields(error, where)
    elif error.validator == "required":
        name = error.message.split("'")[1]
        yield Fault((*where, name), _MISSING)
    elif error.validator == "enum":
        known = [str(value) for value in cast("list[str]", error.validator_value)]
        hint = did_you_mean(str(error.instance), known)
        yield Fault(where, f"must be one of {', '.join(known)}, not {_shown(error)}{hint}")
    elif error.validator == "uniqueItems":
        yield Fault(where, "holds a value twice")
    else:
        yield Fault(where, f"must be {_wanted(error)}, not {_shown(error)}")


def _unknown_fields(error: ValidationError, where: FieldPath) -> Iterator[Fault]:
    known = _fields(error)
    for name in cast("Mapping[str, JSONValue]", error.instance):
        if name not in known:
            hint = did_you_mean(name, known) or f"; known are {', '.join(known)}"
            yield Fault((*where, name), f"is no field here{hint}")


def _meant(error: ValidationError) -> Iterator[FieldPath]:
    """Yield the fields that unknown ones are meant to be: those are not missing, but mistyped."""
    if error.validator == "additionalProperties":
        for name in cast("Mapping[str, JSONValue]", error.instance):
            near = nearest(name, _fields(error))
            if near and near != name:
                yield (*error.absolute_path, near)


def _fields(error: ValidationError) -> list[str]:
    return list(cast("Mapping[str, JSONValue]", _schema(error)["properties"]))


def _wanted(error: ValidationError) -> str:
    schema = _schema(error)
    if error.validator == "const":
        return repr(error.validator_value)
    if "description" in schema:
        return str(schema["description"])
    names = {"array": "a list", "object": "a mapping", "integer": "a whole number"}
    kind = str(schema["type"])
    limits = [
        f"{word} {schema[key]}"
        for key, word in (
            ("minimum", "at least"),
            ("maximum", "at most"),
            ("minItems", "of at least"),
        )
        if key in schema
    ]
    return " ".join([names.get(kind, f"a {kind}"), *limits])


def _shown(error: ValidationError) -> str:
    value = error.instance
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "a list" if value else "an empty list"
    return "null" if value is None else repr(value)

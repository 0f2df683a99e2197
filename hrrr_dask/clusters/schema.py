"""Checks a manifest against the operator's resource definitions: an API server silently drops unknown keys.

The schemas are those of the operator's own custom resource definitions, from its package.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any, Final

import yaml

from hrrr_dask.errors import ConfigError

__all__ = ["check", "find_faults"]

_CRDS: Final = "operator/deployment/helm/dask-kubernetes-operator/crds"

_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "object": (Mapping,),
    "array": (list, tuple),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
}
_LONGEST: Final = 60
"""Maximum length of a value that an error repeats."""


def check(document: Mapping[str, Any]) -> None:
    """Check a document of a manifest against its custom resource definition.

    Raises
    ------
    ConfigError
        If a key is unknown, missing or of the wrong type; names the first one.
    """
    for fault in find_faults(document["spec"], _schema(document["kind"]), "spec"):
        raise ConfigError(f"the manifest's {document['kind']} is wrong: {fault}")


def find_faults(value: Any, schema: Mapping[str, Any], path: str) -> Iterator[str]:
    """Yield what a schema does not allow in a value.

    Parameters
    ----------
    value : object
        A part of a manifest.
    schema : mapping
        OpenAPI v3, as in a custom resource definition.
    path : str
        Path of that part, for the text.

    Yields
    ------
    str
        One sentence for each fault.

    Examples
    --------
    >>> schema = {"type": "object", "properties": {"image": {"type": "string"}}}
    >>> list(find_faults({"image": 1, "imgae": "x"}, schema, "spec"))
    ['spec.image is string, not 1', 'spec.imgae is unknown: did you mean image?']
    """
    if "type" not in schema:  # such as a quantity: a number or text
        return
    if not isinstance(value, _TYPES[schema["type"]]) or (isinstance(value, bool) and schema["type"] != "boolean"):
        yield f"{path} is {schema['type']}, not {repr(value)[:_LONGEST]}"
        return
    if isinstance(value, list | tuple):
        for at, item in enumerate(value):
            yield from find_faults(item, schema.get("items", {}), f"{path}[{at}]")
    elif isinstance(value, Mapping):
        yield from _find_key_faults(value, schema, path)


def _find_key_faults(value: Mapping[str, Any], schema: Mapping[str, Any], path: str) -> Iterator[str]:
    known, rest = schema.get("properties", {}), schema.get("additionalProperties")
    for key in schema.get("required", ()):
        if key not in value:
            yield f"{path}.{key} is missing"
    for key, item in value.items():
        if key in known:
            yield from find_faults(item, known[key], f"{path}.{key}")
        elif isinstance(rest, Mapping):
            yield from find_faults(item, rest, f"{path}.{key}")
        elif known and not schema.get("x-kubernetes-preserve-unknown-fields"):
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known))}"
            yield f"{path}.{key} is unknown: {hint}"


@functools.cache
def _schema(kind: str) -> Mapping[str, Any]:
    text = files("dask_kubernetes").joinpath(_CRDS, f"{kind.lower()}.yaml").read_text()
    definition = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506  both are safe
    schema: Mapping[str, Any] = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return schema

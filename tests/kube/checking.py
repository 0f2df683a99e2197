"""Validates, prunes and fills in objects as an API server does."""

from __future__ import annotations

import re

import jsonschema
import kubernetes_validate

VERSION = "1.33.0"
KEPT = {"x-kubernetes-preserve-unknown-fields": True}
_VALIDATORS = {}
"""Validators by the identity of the schema, which the definition keeps alive."""
NAME = r"[a-z0-9]([-a-z0-9.:]*[a-z0-9])?"


def name_fault(name):
    """Return why a name is invalid; empty if it is valid."""
    if not re.fullmatch(NAME, name) or len(name) > 253:
        return f'metadata.name: Invalid value: "{name}": a lowercase RFC 1123 subdomain must be lower case'
    return ""


def remove_nulls(value):
    """Remove keys whose value is null."""
    if isinstance(value, dict):
        return {key: remove_nulls(item) for key, item in value.items() if item is not None}
    return [remove_nulls(item) for item in value] if isinstance(value, list) else value


def custom_faults(item, schema, *, strict):
    """Fill in defaults of a custom resource, remove unknown fields, and return the other faults."""
    own = schema.get("properties", {}) | dict.fromkeys(("apiVersion", "kind", "metadata"), KEPT)
    unknown = list(_prune(item, {**schema, "properties": own}, ""))
    if strict and unknown:
        return [f'strict decoding error: unknown field "{path}"' for path in unknown]
    if id(schema) not in _VALIDATORS:
        _VALIDATORS[id(schema)] = jsonschema.Draft202012Validator(_as_json_schema(schema))
    errors = _VALIDATORS[id(schema)].iter_errors(item)
    return [f"{'.'.join(map(str, error.absolute_path))}: {error.message[:200]}" for error in sorted(errors, key=str)]


def builtin_faults(item, *, strict):
    """Return the faults of a built-in object by Kubernetes' published schemas."""
    try:
        kubernetes_validate.validate(item, VERSION, strict=strict)
    except kubernetes_validate.ValidationError as error:
        return [f"{'.'.join(map(str, error.path))}: {error.message[:200]}"]
    except kubernetes_validate.SchemaNotFoundError:
        return []
    return list(_mount_faults(item))


def _mount_faults(item):
    """Yield references within a pod to missing volumes, which a schema cannot check."""
    if item.get("kind") in ("CronJob", "Job", "Deployment"):
        template = item["spec"].get("jobTemplate", item)["spec"]["template"]
    else:
        template = item if item.get("kind") == "Pod" else {"spec": {}}
    spec = template["spec"]
    volumes = {volume["name"] for volume in spec.get("volumes", ())}
    for at, container in enumerate(spec.get("containers", ())):
        for mount in container.get("volumeMounts", ()):
            if mount["name"] not in volumes:
                yield f'spec.containers[{at}].volumeMounts: Not found: "{mount["name"]}"'


def _prune(item, schema, path):
    """Fill in defaults and remove fields that a schema does not have; yield their paths."""
    if isinstance(item, list):
        for at, each in enumerate(item):
            yield from _prune(each, schema.get("items", {}), f"{path}[{at}]")
        return
    if not isinstance(item, dict):
        return
    known, rest = schema.get("properties", {}), schema.get("additionalProperties")
    for key, own in known.items():
        if "default" in own and key not in item:
            item[key] = own["default"]
    for key in list(item):
        below = f"{path}.{key}" if path else key
        if key in known or isinstance(rest, dict):
            yield from _prune(item[key], known.get(key, rest), below)
        elif known and not rest and not schema.get("x-kubernetes-preserve-unknown-fields"):
            del item[key]
            yield below


def _as_json_schema(schema):
    if isinstance(schema, list):
        return [_as_json_schema(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    ours = ("nullable", "format", "description", "default", "example")
    found = {
        key: _as_json_schema(value) for key, value in schema.items() if not key.startswith("x-") and key not in ours
    }
    if "properties" in schema:  # the keys are names, not keywords
        found["properties"] = {name: _as_json_schema(item) for name, item in schema["properties"].items()}
    if schema.get("x-kubernetes-int-or-string"):
        found["type"] = ["integer", "string"]
    return found

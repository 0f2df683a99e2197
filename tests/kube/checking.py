"""What of an object is refused, and what is left out or filled in, as an API server would."""

from __future__ import annotations

import re

import jsonschema
import kubernetes_validate

VERSION = "1.33.0"
KEPT = {"x-kubernetes-preserve-unknown-fields": True}
_VALIDATORS = {}
"""By the identity of the schema, which a definition keeps."""
NAME = r"[a-z0-9]([-a-z0-9.:]*[a-z0-9])?"


def name_fault(name):
    """Why a name is none; empty when it is one."""
    if not re.fullmatch(NAME, name) or len(name) > 253:
        return f'metadata.name: Invalid value: "{name}": a lowercase RFC 1123 subdomain must be lower case'
    return ""


def without_nulls(value):
    """The same without keys whose value is null."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def custom_faults(item, schema, *, strict):
    """Fill in the defaults of a custom resource, leave out what is unknown, and say what is wrong with the rest."""
    own = schema.get("properties", {}) | dict.fromkeys(("apiVersion", "kind", "metadata"), KEPT)
    unknown = list(_prune(item, {**schema, "properties": own}, ""))
    if strict and unknown:
        return [f'strict decoding error: unknown field "{path}"' for path in unknown]
    if id(schema) not in _VALIDATORS:
        _VALIDATORS[id(schema)] = jsonschema.Draft202012Validator(_as_json_schema(schema))
    errors = _VALIDATORS[id(schema)].iter_errors(item)
    return [f"{'.'.join(map(str, error.absolute_path))}: {error.message[:200]}" for error in sorted(errors, key=str)]


def builtin_faults(item, *, strict):
    """What is wrong with one of Kubernetes' own, after its published schemas."""
    try:
        kubernetes_validate.validate(item, VERSION, strict=strict)
    except kubernetes_validate.ValidationError as error:
        return [f"{'.'.join(map(str, error.path))}: {error.message[:200]}"]
    except kubernetes_validate.SchemaNotFoundError:
        return []
    return list(_mount_faults(item))


def _mount_faults(item):
    """References within a pod, which a schema cannot know."""
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
    """Fill in defaults, take away what a schema does not know; the paths of that."""
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
    if "properties" in schema:  # whose keys are names, whatever they are
        found["properties"] = {name: _as_json_schema(item) for name, item in schema["properties"].items()}
    if schema.get("x-kubernetes-int-or-string"):
        found["type"] = ["integer", "string"]
    return found

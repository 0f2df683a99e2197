"""Label and field selectors, and the field that is asked for most."""

from __future__ import annotations

import re


def labels_match(labels, selector):
    """Whether labels are what a selector such as ``a=b,c in (d, e),!f`` asks for."""
    parts = re.findall(r"[^,(]+(?:\([^)]*\))?", selector or "")
    return all(_label_matches(labels, part.strip()) for part in parts if part.strip())


def _label_matches(labels, part):
    if match := re.fullmatch(r"(\S+)\s+(in|notin)\s+\(([^)]*)\)", part):
        values = {value.strip() for value in match[3].split(",")}
        return (labels.get(match[1]) in values) == (match[2] == "in")
    if match := re.fullmatch(r"([^!=\s]+)\s*(!=|==?)\s*(\S*)", part):
        return (labels.get(match[1]) == match[3]) == (match[2] != "!=")
    return part[1:] not in labels if part.startswith("!") else part in labels


def fields_match(item, selector):
    """Whether an object's fields are what a selector such as ``status.phase=Running`` asks for."""
    for part in filter(None, (selector or "").split(",")):
        path, operator, value = re.fullmatch(r"([^!=]+)(!=|==?)(.*)", part).groups()
        if (str(at(item, path) or "") == value) == (operator == "!="):
            return False
    return True


def at(item, path):
    """What stands at a dotted path; None when nothing does."""
    for key in path.split("."):
        item = (item or {}).get(key)
    return item


def chosen(items, query):
    """Those that a query's selectors ask for."""
    return [item for item in items if matches(item, query)]


def matches(item, query):
    """Whether a query's selectors ask for it."""
    labels = item["metadata"].get("labels") or {}
    return labels_match(labels, query.get("labelSelector")) and fields_match(item, query.get("fieldSelector"))


def is_ready(pod):
    """Whether its containers answer."""
    return any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", ()))

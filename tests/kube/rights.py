"""Permissions of users, by the token of a request."""

from __future__ import annotations

ADMIN = "admin"
VIEWER = "viewer"
"""User with read permission only."""

USERS = (ADMIN, VIEWER)
READING = ("get", "list", "watch")


def token_of(request):
    """Return the token; kubectl sends none without TLS, and is the administrator here."""
    return request.headers.get("Authorization", f"Bearer {ADMIN}").removeprefix("Bearer ")


def allowed(token, verb):
    """Return whether a user has a permission."""
    return token != VIEWER or verb in READING


def verb_of(method, name, query):
    """Return the verb of a request in Kubernetes' permissions."""
    if method == "GET":
        return "get" if name else "watch" if query.get("watch") in ("true", "1") else "list"
    return {"POST": "create", "PUT": "update", "PATCH": "patch"}.get(method, "delete" if name else "deletecollection")


def refusal(token, verb, resource, group, namespace):
    """Return the message of an API server that denies a request."""
    where = f' in the namespace "{namespace}"' if namespace else " at the cluster scope"
    return f'User "{token}" cannot {verb} resource "{resource}" in API group "{group}"{where}'

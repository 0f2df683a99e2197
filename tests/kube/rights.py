"""Who may do what: by the token of a request."""

from __future__ import annotations

ADMIN = "admin"
VIEWER = "viewer"
"""May look, and no more."""

USERS = (ADMIN, VIEWER)
READING = ("get", "list", "watch")


def token_of(request):
    """The user's; kubectl sends none without TLS, and is the administrator's here."""
    return request.headers.get("Authorization", f"Bearer {ADMIN}").removeprefix("Bearer ")


def allowed(token, verb):
    """Whether the owner of a token may do that."""
    return token != VIEWER or verb in READING


def verb_of(method, name, query):
    """What a request is called among rights."""
    if method == "GET":
        return "get" if name else "watch" if query.get("watch") in ("true", "1") else "list"
    return {"POST": "create", "PUT": "update", "PATCH": "patch"}.get(method, "delete" if name else "deletecollection")


def refusal(token, verb, resource, group, namespace):
    """As an API server words it."""
    where = f' in the namespace "{namespace}"' if namespace else " at the cluster scope"
    return f'User "{token}" cannot {verb} resource "{resource}" in API group "{group}"{where}'

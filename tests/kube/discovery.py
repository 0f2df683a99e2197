"""API discovery, as far as kubectl and Dask's operator need it."""

from __future__ import annotations

from aiohttp import web

VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
VERSION = {"major": "1", "minor": "99", "gitVersion": "v1.99.0-kube.tests", "platform": "linux/amd64"}
"""Newer than any library knows: users must not be warned of that."""


class Discovery:
    """Responds to GET requests above the resources."""

    def __init__(self, store):
        self._store = store

    def routes(self):
        get = web.get
        return [
            get("/version{_:/?}", self.version),
            get("/readyz", self.ready),
            get("/api{_:/?}", self.core),
            get("/apis{_:/?}", self.groups),
            get("/api/{version}{_:/?}", self.resources),
            get("/apis/{group}/{version}{_:/?}", self.resources),
            get("/apis/{group}{_:/?}", self.group),
            get("/openapi/v3{_:/?}", self.schemas),
            get("/openapi/v3/{path:.*}", self.schema),
        ]

    async def version(self, _):
        return web.json_response(VERSION)

    async def ready(self, _):
        return web.Response(text="ok")

    async def core(self, _):
        return web.json_response({"kind": "APIVersions", "versions": ["v1"]})

    async def groups(self, _):
        names = sorted({resource.group for resource in self._store.resources.values()} - {""})
        return web.json_response(
            {"kind": "APIGroupList", "apiVersion": "v1", "groups": [self._group(name) for name in names]}
        )

    async def group(self, request):
        return web.json_response({"kind": "APIGroup", "apiVersion": "v1", **self._group(request.match_info["group"])})

    async def resources(self, request):
        version = "/".join(filter(None, (request.match_info.get("group"), request.match_info["version"])))
        listed = [line for resource in self._of(version) for line in _lines(resource)]
        if not listed:
            return web.Response(status=404, text="404 page not found\n")
        return web.json_response(
            {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": listed}
        )

    async def schemas(self, _):
        versions = sorted({resource.version for resource in self._store.resources.values()})
        paths = [f"apis/{version}" if "/" in version else f"api/{version}" for version in versions]
        return web.json_response({"paths": {path: {"serverRelativeURL": f"/openapi/v3/{path}"} for path in paths}})

    async def schema(self, request):
        """Return the minimum from which kubectl learns that the server validates fields."""
        path = request.match_info["path"]
        version = path.partition("/")[2]
        strictness = {"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}
        paths = {}
        for resource in self._of(version):
            kind = {"group": resource.group, "version": version.rpartition("/")[2], "kind": resource.kind}
            patch = {"parameters": [strictness], "x-kubernetes-group-version-kind": kind, "responses": {}}
            paths[f"/{path}/{resource.plural}/{{name}}"] = {"patch": patch}
        return web.json_response({"openapi": "3.0.0", "info": {"title": "x", "version": "1"}, "paths": paths})

    def _of(self, version):
        return [resource for resource in self._store.resources.values() if resource.version == version]

    def _group(self, name):
        resources = self._store.resources.values()
        versions = sorted({resource.version for resource in resources if resource.group == name})
        entries = [{"groupVersion": full, "version": full.rpartition("/")[2]} for full in versions]
        return {"name": name, "versions": entries, "preferredVersion": entries[0] if entries else {}}


def _lines(resource):
    common = {"namespaced": resource.namespaced, "kind": resource.kind}
    names = {"singularName": resource.kind.lower(), "shortNames": [resource.short] if resource.short else []}
    yield {"name": resource.plural, **names, **common, "verbs": VERBS}
    if resource.has_status:
        yield {"name": f"{resource.plural}/status", "singularName": "", **common, "verbs": ("get", "patch", "update")}

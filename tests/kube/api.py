"""The HTTP interface of the API server."""

from __future__ import annotations

import asyncio
import json

import yaml
from aiohttp import web
from jsonpatch import JsonPatchException

from kube import rights
from kube.discovery import Discovery
from kube.patches import apply_patch
from kube.selectors import filter_items, get_path, matches
from kube.store import RefusedError, Store

BOOKMARK_S = 15.0


class Api:
    """Serves a store."""

    def __init__(self, store: Store, streams):
        self._store, self._streams = store, streams

    def app(self):
        app = web.Application(client_max_size=2**24, middlewares=[self._respond_to_refusals])
        app.add_routes(Discovery(self._store).routes())
        for prefix in ("/api/{version:v1}", "/apis/{group}/{version}"):
            for middle in ("", "/namespaces/{namespace}"):
                for tail in ("/{plural}", "/{plural}/{name}", "/{plural}/{name}/{part}"):
                    app.router.add_route("*", prefix + middle + tail, self.handle)
        return app

    @web.middleware
    async def _respond_to_refusals(self, request, handler):
        try:
            return await handler(request)
        except RefusedError as refusal:
            status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
            status |= {"message": refusal.message, "reason": refusal.reason, "code": refusal.code}
            return web.json_response(status, status=refusal.code)

    async def handle(self, request):
        parameters = request.match_info
        version = "/".join(filter(None, (parameters.get("group"), parameters["version"])))
        namespace, plural, name, part = (parameters.get(key) for key in ("namespace", "plural", "name", "part"))
        if plural == "namespaces" and (version, part) in self._store.resources:
            namespace, plural, name, part = name, part, None, None
        if version.startswith("authorization"):
            return await self._review(request)
        resource = self._store.resources.get((version, plural))
        if resource is None:
            if not any(known == version for known, _ in self._store.resources):
                return web.Response(status=404, text="404 page not found\n")
            raise RefusedError(404, "NotFound", "the server could not find the requested resource")
        self._check_rights(request, resource, namespace, name, part)
        if name is None:
            return await self._all(request, resource, namespace)
        if part in ("log", "portforward"):
            return await self._streams.handle(request, self._store.get(resource, namespace, name), part)
        if part == "scale":
            return await self._scale(request, resource, namespace, name)
        if part not in (None, "status") or (part == "status" and not resource.has_status):
            raise RefusedError(404, "NotFound", "the server could not find the requested resource")
        return await self._one(request, resource, namespace, name, part)

    def _check_rights(self, request, resource, namespace, name, part):
        token = rights.token_of(request)
        if token not in rights.USERS:
            raise RefusedError(401, "Unauthorized", "Unauthorized")
        verb = rights.verb_of(request.method, name, request.query)
        if not rights.allowed(token, verb):
            full = f"{resource.plural}/{part}" if part else resource.plural
            about = f' "{name}"' if name else ""
            text = rights.refusal(token, verb, full, resource.group, namespace)
            raise RefusedError(403, "Forbidden", f"{resource.plural}{about} is forbidden: {text}")

    async def _review(self, request):
        body = await _body(request)
        token = rights.token_of(request)
        requested = body["spec"].get("resourceAttributes", {})
        body["status"] = {"allowed": rights.allowed(token, requested.get("verb", "get"))}
        return web.json_response(body, status=201)

    async def _all(self, request, resource, namespace):
        store, query = self._store, request.query
        if request.method == "GET" and query.get("watch") in ("true", "1"):
            return await self._watch(request, resource, namespace)
        items = filter_items(store.list(resource, namespace), query)
        if request.method == "GET":
            meta = {"resourceVersion": str(store.number)}
            listed = {"kind": f"{resource.kind}List", "apiVersion": resource.version, "metadata": meta, "items": items}
            return web.json_response(listed)
        if request.method == "POST":
            how = {"strict": query.get("fieldValidation") == "Strict", "dry": query.get("dryRun") == "All"}
            return web.json_response(store.create(resource, namespace, await _body(request), **how), status=201)
        for item in items:
            store.delete(resource, item["metadata"].get("namespace"), item["metadata"]["name"])
        return web.json_response({"kind": "Status", "status": "Success"})

    async def _one(self, request, resource, namespace, name, part):
        store = self._store
        if request.method == "GET":
            return web.json_response(store.get(resource, namespace, name))
        body = await _body(request)
        if request.method == "DELETE":
            grace_s = request.query.get("gracePeriodSeconds", (body or {}).get("gracePeriodSeconds"))
            foreground = (body or {}).get("propagationPolicy") == "Foreground"
            grace_s = None if grace_s is None else int(grace_s)
            deleted = store.delete(resource, namespace, name, grace_s, foreground=foreground)
            return web.json_response(deleted)
        how = {"part": part, "strict": request.query.get("fieldValidation") == "Strict"}
        if request.method == "PUT":
            return web.json_response(store.update(resource, namespace, name, lambda _: body, **how))
        if isinstance(body, dict):
            how["number"] = (body.get("metadata") or {}).get("resourceVersion")
        kind = request.content_type

        def change(old):
            try:
                return apply_patch(kind, old, body)
            except JsonPatchException as error:  # mainly if its test of a version failed
                raise RefusedError(422, "Invalid", f"the server rejected our request: {error}") from error

        if kind == "application/apply-patch+yaml" and store.key(resource, namespace, name) not in store.items:
            return web.json_response(store.create(resource, namespace, body), status=201)
        changed = store.update(resource, namespace, name, change, **how)
        return web.json_response(changed)

    async def _scale(self, request, resource, namespace, name):
        path = ("spec", "worker") if resource.group == "kubernetes.dask.org" else ("spec",)

        def changed(item):
            part = item
            for key in path:
                part = part[key]
            part["replicas"] = replicas
            return item

        if request.method != "GET":
            replicas = (await _body(request))["spec"]["replicas"]
            self._store.update(resource, namespace, name, changed)
        item = self._store.get(resource, namespace, name)
        meta = {key: item["metadata"][key] for key in ("name", "namespace", "uid", "resourceVersion")}
        spec = {"replicas": get_path(item, ".".join((*path, "replicas")))}
        return web.json_response({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": meta, "spec": spec})

    async def _watch(self, request, resource, namespace):
        query, store, queue = request.query, self._store, self._store.listen()
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        watch = _Watch(response, resource, namespace, query)
        try:
            await response.prepare(request)
            since = int(query.get("resourceVersion") or 0)
            if not since:
                for item in store.list(resource, namespace):
                    await watch.send_item("ADDED", item)
                since = store.number
            for change in [change for change in store.changes if change.number > since]:
                await watch.send_change(change)
                since = change.number
            await watch.follow(queue, since, store)
        except (ConnectionResetError, ConnectionError):
            pass  # the client has disconnected
        finally:
            store.listeners.discard(queue)
        return response


class _Watch:
    def __init__(self, response, resource, namespace, query):
        self._response, self._resource, self._namespace, self._query = response, resource, namespace, query
        self._seen = set()

    async def follow(self, queue, since, store):
        loop = asyncio.get_running_loop()
        end = loop.time() + float(self._query.get("timeoutSeconds") or 1800)
        while (left := end - loop.time()) > 0:
            try:
                change = await asyncio.wait_for(queue.get(), min(left, BOOKMARK_S))
            except TimeoutError:
                if self._query.get("allowWatchBookmarks") in ("true", "1"):
                    meta = {"resourceVersion": str(store.number)}
                    mark = {"kind": self._resource.kind, "apiVersion": self._resource.version, "metadata": meta}
                    await self._send("BOOKMARK", mark)
                continue
            if change.number > since:
                await self.send_change(change)

    async def send_change(self, change):
        """Send a change of a selected object; an object that no longer matches the selectors is sent as deleted."""
        item = change.item
        same = (change.resource.version, change.resource.plural) == (self._resource.version, self._resource.plural)
        if not same or self._namespace not in (None, item["metadata"].get("namespace")):
            return
        if matches(item, self._query):
            await self.send_item(change.type, item)
        elif item["metadata"]["uid"] in self._seen:
            self._seen.discard(item["metadata"]["uid"])
            await self._send("DELETED", item)

    async def send_item(self, kind, item):
        if matches(item, self._query):
            self._seen.add(item["metadata"]["uid"])
            await self._send(kind, item)

    async def _send(self, kind, item):
        await self._response.write(json.dumps({"type": kind, "object": item}).encode() + b"\n")


async def _body(request):
    if request.content_type == "application/vnd.kubernetes.protobuf":
        raise RefusedError(415, "UnsupportedMediaType", "no protocol buffers: give `kubectl apply` a manifest instead")
    text = await request.text()
    if not text:
        return {}
    try:
        return json.loads(text)
    except ValueError:
        return yaml.safe_load(text)

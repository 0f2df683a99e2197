"""Streams the log of a pod, and forwards one of its ports."""

from __future__ import annotations

import asyncio
import contextlib
import struct

from aiohttp import WSMsgType, web

from kube.network import real_port

DATA, ERROR = b"\0", b"\1"
"""Channels of a forwarded port, as in v4.channel.k8s.io."""


class Streams:
    """Responds in place of the kubelet."""

    def __init__(self, directory):
        self._directory = directory

    async def handle(self, request, pod, part):
        if part == "log":
            return self._log(request, pod)
        return await _forward(request, pod)

    def _log(self, request, pod):
        container = request.query.get("container") or pod["spec"]["containers"][0]["name"]
        path = self._directory / pod["metadata"]["name"] / f"{container}.log"
        lines = path.read_text(errors="replace").splitlines() if path.exists() else []
        last = int(request.query.get("tailLines", len(lines)))
        return web.Response(text="".join(f"{line}\n" for line in lines[len(lines) - min(last, len(lines)) :]))


async def _forward(request, pod):
    socket = web.WebSocketResponse(protocols=("v4.channel.k8s.io", "portforward.k8s.io"))
    await socket.prepare(request)
    port = int(request.query["ports"])
    for channel in (DATA, ERROR):
        await socket.send_bytes(channel + struct.pack("<H", port))
    try:
        reader, writer = await asyncio.open_connection(pod["status"]["podIP"], real_port(port))
    except OSError as error:
        await socket.send_bytes(ERROR + str(error).encode())
        await socket.close()
        return socket
    back = asyncio.create_task(_back(reader, socket))
    try:
        async for message in socket:
            if message.type == WSMsgType.BINARY and message.data[:1] == DATA:
                writer.write(message.data[1:])
                await writer.drain()
    except OSError:
        pass  # the pod was killed
    finally:
        back.cancel()
        writer.close()
    return socket


async def _back(reader, socket):
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            await socket.send_bytes(DATA + data)
    await socket.close()

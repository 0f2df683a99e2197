"""Run the cluster until SIGTERM: ``python -m kube DIRECTORY``. It writes a kubeconfig there when it is ready."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
from pathlib import Path

import yaml
from aiohttp import web

from kube.api import Api
from kube.controllers import Controllers
from kube.kubelet import Kubelet
from kube.network import Network
from kube.rights import ADMIN, VIEWER
from kube.services import Services
from kube.store import Store
from kube.streams import Streams


async def main(directory: Path, definitions: Path, network: Network, cpus: float, image: dict[str, str]) -> None:
    store = Store()
    for path in sorted(definitions.glob("*.yaml")):
        for document in yaml.load_all(path.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            store.create(store.find_resource("CustomResourceDefinition"), None, document)
    pods, hosts = directory / "pods", directory / "hosts"
    pods.mkdir()
    runner = web.AppRunner(Api(store, Streams(pods)).app(), access_log=None, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    parts = (Services(store, hosts, network), Controllers(store), Kubelet(store, pods, network, hosts, cpus, image))
    write_kubeconfigs(directory, runner.addresses[0][1])
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    tasks = [asyncio.create_task(part.run()) for part in parts]
    waiting = asyncio.create_task(stop.wait())
    await asyncio.wait([*tasks, waiting], return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    await runner.cleanup()
    for error in ended:
        if isinstance(error, Exception):
            raise error


def write_kubeconfigs(directory: Path, port: int) -> None:
    """Write a kubeconfig for each user, the administrator's last, because clients wait for it."""
    for user in (VIEWER, ADMIN):
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "clusters": [{"name": "here", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
            "users": [{"name": user, "user": {"token": user}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": user, "namespace": "default"}}],
        }
        half = directory / f"{user}.new"
        half.write_text(yaml.safe_dump(config))
        half.rename(directory / f"{user}.yaml")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("--definitions", type=Path, required=True, help="directory of custom resource definitions")
    parser.add_argument("--network", type=Network, required=True, help="what addresses begin with: 127.64.")
    parser.add_argument("--cpus", type=float, default=8.0, help="of the only node")
    parser.add_argument("--image", type=json.loads, default={}, help="path in the image to path here, as JSON")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    asyncio.run(main(given.directory, given.definitions, given.network, given.cpus, given.image))

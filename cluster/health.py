"""Health check of a container for Docker and podman; Kubernetes has its own probes."""

from __future__ import annotations

import sys
import urllib.request
from pathlib import Path

PORTS = {"scheduler": 8787, "worker": 8788}
"""Program to the port of its HTTP server, which has /health, as in the manifests."""


def main(cmdline: Path = Path("/proc/1/cmdline")) -> int:
    """Return 0 if the container's scheduler or worker responds, or if it runs another command."""
    words = cmdline.read_bytes().decode(errors="replace").split("\0")
    port = next((port for word, port in PORTS.items() if word in words), None)
    if port is None:
        return 0
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as response:
            return 0 if response.status == 200 else 1
    except OSError as error:
        sys.stderr.write(f"no response at port {port}: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())

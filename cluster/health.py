"""Is the container's first process in good health? For Docker and podman; Kubernetes asks by probes of its own."""

from __future__ import annotations

import sys
import urllib.request
from pathlib import Path

PORTS = {"scheduler": 8787, "worker": 8788}
"""Of the pages that each of them has, /health among them, as the manifests start them."""


def main(cmdline: Path = Path("/proc/1/cmdline")) -> int:
    """0 if the scheduler or worker answers; a command that runs is healthy."""
    words = cmdline.read_bytes().decode(errors="replace").split("\0")
    port = next((port for word, port in PORTS.items() if word in words), None)
    if port is None:
        return 0
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as found:
            return 0 if found.status == 200 else 1
    except OSError as error:
        sys.stderr.write(f"nothing answers at port {port}: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())

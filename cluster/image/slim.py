"""Reduce an environment to what runs in a pod. The Dockerfile runs it; ``cluster/README.md`` has what it saves.

Usage: python slim.py ENVIRONMENT
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

UNUSED = {
    "**/tests": "tests of packages",
    "*/include": "C and C++ headers",
    "*/lib64/cmake": "build files of C++ libraries",
    "*/lib64/pkgconfig": "build files of C++ libraries",
    "*/*.c": "sources that Cython has compiled",
    "eccodeslib/bin": "ecCodes' programs, such as grib_dump",
    "pyarrow/libarrow_flight.so*": "Arrow Flight, which pyarrow.flight alone loads",
    "pyarrow/libarrow_python_flight.so*": "Arrow Flight",
    "pyarrow/_flight*": "Arrow Flight",
    "pyarrow/src": "C++ sources",
    "bokeh/server/static/js/compiler.js": "Bokeh's compiler of custom extensions, which needs Node.js",
    "bokeh/server/static/js/lib": "Bokeh's modules for that compiler",
}
"""Files and directories below ``site-packages``, and what they are: nothing that runs in a pod opens them."""

ORPHANS = ["kopf", "kubernetes", "kubernetes-asyncio", "pip", "pykube-ng", "setuptools"]
"""Distributions that are not imported: all but pip and setuptools run the operator, which has an image of its own."""


def main() -> None:
    """Uninstall, delete and strip; print the megabytes that each step saved."""
    environment = Path(sys.argv[1])
    packages = next(environment.glob("lib/python3.*/site-packages"))
    size = _megabytes(environment)
    for step in (_uninstall, _delete, _strip):
        step(packages)
        size, before = _megabytes(environment), size
        print(f"{(step.__doc__ or '').rstrip('.')}: {before - size:.0f} MB less, {size:.0f} MB left")


def _uninstall(packages: Path) -> None:
    """Uninstall packages that are not imported."""
    python = packages.parents[2] / "bin" / "python"
    subprocess.run([python, "-m", "pip", "uninstall", "-q", "-y", *ORPHANS], check=True)


def _delete(packages: Path) -> None:
    """Delete files that are not opened."""
    for pattern in UNUSED:
        for path in list(packages.glob(pattern)):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def _strip(packages: Path) -> None:
    """Strip shared libraries of symbols that are not needed to load them."""
    for path in packages.rglob("*.so*"):
        if path.is_symlink() or path.read_bytes()[:4] != b"\x7fELF":
            continue
        stripped = path.with_name(f"{path.name}.stripped")
        subprocess.run(["strip", "--strip-unneeded", "-o", stripped, path], check=True)
        if _segments(stripped) == _segments(path):
            shutil.copymode(path, stripped)
            stripped.replace(path)
        else:  # strip misplaces and cuts segments of files that patchelf, which repairs wheels, has written
            stripped.unlink()


def _segments(library: Path) -> list[tuple[object, ...]]:
    """Return what the loader maps: address, sizes, rights, and place in a page of the file."""
    listing = subprocess.run(["readelf", "-lW", library], check=True, capture_output=True, text=True).stdout
    fields = [line.split() for line in listing.splitlines() if line.split()[:1] == ["LOAD"]]
    return [
        (*address_sizes_rights, int(offset, 16) % int(align, 16)) for _, offset, *address_sizes_rights, align in fields
    ]


def _megabytes(directory: Path) -> float:
    return sum(path.lstat().st_size for path in directory.rglob("*") if not path.is_dir()) / 1e6


if __name__ == "__main__":
    main()

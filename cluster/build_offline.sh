#!/usr/bin/env bash
# Build the image and run it where no registry can be reached: with buildah and podman, on a base made of Debian's
# packages, from wheels that pip has fetched before. It needs root, and:
#
#   apt-get install --no-install-recommends buildah podman runc debootstrap
#   cluster/build_offline.sh DIRECTORY          # some 3 GB; what is there already is used again
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mkdir -p "${1:?a directory to work in}" && cd "$1" && pwd)
base=docker.io/library/python:3.11-slim-bookworm  # as the Dockerfile's FROM is read
image=localhost/hrrr-dask:dev

say() { printf '\n== %s\n' "$*"; }
build() { buildah --storage-driver vfs --root "$work/storage" --runroot "$work/run" "$@"; }
run() {
  podman --storage-driver vfs --root "$work/storage" --runroot "$work/run" --cgroup-manager cgroupfs --runtime runc \
    run --rm --network host --ulimit nofile=4096:4096 --ulimit nproc=4096:4096 "$@"
}
# As a pod is run: nobody, nothing to write to but /tmp, no capabilities.
pod() { run --read-only --read-only-tmpfs=false --tmpfs /tmp:rw,size=1g,mode=1777 --cap-drop all --security-opt no-new-privileges "$@"; }

say "wheels"
mkdir -p "$work/wheels"
python3 -m pip download -q -d "$work/wheels" -c "$root/constraints.txt" "$root[icechunk,kubernetes]" prometheus-client hatchling
printf '[global]\nno-index = true\nfind-links = /wheels\n' > "$work/pip.conf"

if ! build images -q "$base" > /dev/null 2>&1; then
  say "base"
  test -d "$work/base" || debootstrap --variant=minbase --include=python3-venv,ca-certificates bookworm "$work/base"
  ln -sf python3 "$work/base/usr/bin/python"
  rm -rf "$work"/base/var/cache/apt/archives/*.deb
  tar -C "$work/base" -c . | podman --storage-driver vfs --root "$work/storage" --runroot "$work/run" import -q - "$base"
fi

say "image"
time build bud -q --isolation chroot --pull-never --format docker --network host \
  --ignorefile "$root/cluster/Dockerfile.dockerignore" -f "$root/cluster/Dockerfile" \
  --volume "$work/wheels:/wheels:ro" --volume "$work/pip.conf:/etc/pip.conf:ro" -t "$image" "$root"
build images "$image"

say "who and what may be written"
pod "$image" sh -c 'id; touch /opt/hrrr/x /x 2>&1 || true; touch /tmp/x && echo /tmp may be written'

say "hrrr-dask demo"
pod "$image" hrrr-dask demo /tmp/demo

say "seconds until the kernels are there: as shipped, and compiled anew (where no shipped kernels can be found)"
warm='import time, sys; t = time.perf_counter()
from hrrr_dask.decode.kernel_cache import seed_kernel_cache
import numba; i = time.perf_counter()
seed_kernel_cache(); import hrrr_dask.decode.kernels
print(f"{sys.argv[1]:<8} {time.perf_counter() - i:.2f} s, after {i - t:.2f} s for numba")'
for _ in 1 2 3; do
  pod "$image" python -c "$warm" shipped
  pod -e NUMBA_CPU_NAME=generic "$image" python -c "$warm" anew
done

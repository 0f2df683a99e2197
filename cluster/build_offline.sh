#!/usr/bin/env bash
# Build the image and run it without access to an image registry: with buildah and podman, on a base image made from
# Debian packages, with wheels that pip downloads first. It needs root, and:
#
#   apt-get install --no-install-recommends buildah podman runc debootstrap
#   cluster/build_offline.sh DIRECTORY          # about 3 GB; existing parts are reused
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mkdir -p "${1:?working directory}" && cd "$1" && pwd)
base=docker.io/library/python:3.11-slim-bookworm  # full names of the images in the Dockerfile's FROM
build_base=docker.io/library/python:3.11-bookworm
image=localhost/hrrr-dask:dev

say() { printf '\n== %s\n' "$*"; }
build() { buildah --storage-driver vfs --root "$work/storage" --runroot "$work/run" "$@"; }
podman() {
  command podman --storage-driver vfs --root "$work/storage" --runroot "$work/run" --cgroup-manager cgroupfs --runtime runc "$@"
}
# Run as in a pod: unprivileged user, only /tmp is writable, no capabilities.
pod() {
  podman run --rm --no-healthcheck --network "${network:-host}" --ulimit nofile=4096:4096 --ulimit nproc=4096:4096 --read-only \
    --read-only-tmpfs=false --tmpfs /tmp:rw,size=1g,mode=1777 --cap-drop all --security-opt no-new-privileges "$@"
}

say "wheels"
mkdir -p "$work/wheels"
python3 -m pip download -q -d "$work/wheels" -c "$root/constraints.txt" "$root[icechunk,kubernetes,sentry]" hatchling
printf '[global]\nno-index = true\nfind-links = /wheels\n' > "$work/pip.conf"

import_base() { # name of the image, packages
  build images -q "$1" > /dev/null 2>&1 && return
  say "base $1"
  directory=$work/${1//[^a-z0-9]/-}
  test -d "$directory" || debootstrap --variant=minbase --include="$2" bookworm "$directory"
  ln -sf python3 "$directory/usr/bin/python"
  rm -rf "$directory"/var/cache/apt/archives/*.deb
  tar -C "$directory" -c . | podman import -q - "$1"
}
import_base "$base" python3-venv,ca-certificates
import_base "$build_base" python3-venv,ca-certificates,binutils

say "image"
time build bud -q --isolation chroot --pull-never --format docker --network host \
  --ignorefile "$root/cluster/Dockerfile.dockerignore" -f "$root/cluster/Dockerfile" \
  --volume "$work/wheels:/wheels:ro" --volume "$work/pip.conf:/etc/pip.conf:ro" -t "$image" "$root"
build images "$image"

say "user and writable paths; hrrr-dask demo; time to load the kernels of the image, and to compile them again"
pod -i "$image" sh -s <<'IN'
set -eu
id
for path in /x /opt/hrrr/x x; do
  if touch $path 2> /dev/null; then echo "$path is writable"; else echo "$path is not writable"; fi
done
hrrr-dask demo demo
hrrr-dask status --store demo/demo.zarr
cat > warm.py <<'PY'
import sys, time
from hrrr_dask.decode.kernel_cache import seed_kernel_cache
start, cpu = time.perf_counter(), time.process_time()
seed_kernel_cache()
import hrrr_dask.decode.kernels
print(f"{sys.argv[1]:<8} {time.perf_counter() - start:6.2f} s {time.process_time() - cpu:6.2f} s of CPU time")
PY
for _ in 1 2 3 4 5; do
  HOME=$(mktemp -d) python warm.py shipped
  HOME=$(mktemp -d) NUMBA_CPU_NAME=x86-64-v2 NUMBA_CPU_FEATURES= python warm.py compiled
done
IN

say "a scheduler: reports that it is healthy, and stops on SIGTERM"
name=hrrr-health-$$
trap 'podman rm -f -t 1 $name > /dev/null 2>&1 || true' EXIT
network=none pod -d --rm=false --name "$name" "$image" dask scheduler --host 127.0.0.1 --dashboard-address :8787 > /dev/null
for _ in $(seq 60); do podman exec "$name" python /opt/hrrr/health.py 2> /dev/null && break; sleep 1; done
podman exec "$name" python /opt/hrrr/health.py && echo "healthy"
podman stop -t 30 "$name" > /dev/null
echo "exit code $(podman inspect "$name" --format '{{.State.ExitCode}}'), 137 if it was killed"
podman rm "$name" > /dev/null

say "a command that gets SIGTERM before it has started"
network=none pod -d --rm=false --name "$name" "$image" hrrr-dask demo demo > /dev/null
podman stop -t 30 "$name" > /dev/null
echo "exit code $(podman inspect "$name" --format '{{.State.ExitCode}}')"

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
podman() {
  command podman --storage-driver vfs --root "$work/storage" --runroot "$work/run" --cgroup-manager cgroupfs --runtime runc "$@"
}
# As a pod is run: nobody, nothing to write to but /tmp, no capabilities.
pod() {
  podman run --rm --no-healthcheck --network "${network:-host}" --ulimit nofile=4096:4096 --ulimit nproc=4096:4096 --read-only \
    --read-only-tmpfs=false --tmpfs /tmp:rw,size=1g,mode=1777 --cap-drop all --security-opt no-new-privileges "$@"
}

say "wheels"
mkdir -p "$work/wheels"
python3 -m pip download -q -d "$work/wheels" -c "$root/constraints.txt" "$root[icechunk,kubernetes]" prometheus-client hatchling
printf '[global]\nno-index = true\nfind-links = /wheels\n' > "$work/pip.conf"

if ! build images -q "$base" > /dev/null 2>&1; then
  say "base"
  test -d "$work/base" || debootstrap --variant=minbase --include=python3-venv,ca-certificates bookworm "$work/base"
  ln -sf python3 "$work/base/usr/bin/python"
  rm -rf "$work"/base/var/cache/apt/archives/*.deb
  tar -C "$work/base" -c . | podman import -q - "$base"
fi

say "image"
time build bud -q --isolation chroot --pull-never --format docker --network host \
  --ignorefile "$root/cluster/Dockerfile.dockerignore" -f "$root/cluster/Dockerfile" \
  --volume "$work/wheels:/wheels:ro" --volume "$work/pip.conf:/etc/pip.conf:ro" -t "$image" "$root"
build images "$image"

say "who it is and what it may write; hrrr-dask demo; seconds until the kernels are there, shipped or compiled anew"
pod -i "$image" sh -s <<'IN'
set -eu
id
for place in /x /opt/hrrr/x /tmp/x; do
  if touch $place 2> /dev/null; then echo "$place can be written"; else echo "$place cannot be written"; fi
done
hrrr-dask demo /tmp/demo
hrrr-dask status --store /tmp/demo/demo.zarr
cat > /tmp/warm.py <<'PY'
import sys, time
from hrrr_dask.decode.kernel_cache import seed_kernel_cache
began, cpu = time.perf_counter(), time.process_time()
seed_kernel_cache()
import hrrr_dask.decode.kernels
print(f"{sys.argv[1]:<8} {time.perf_counter() - began:6.2f} s {time.process_time() - cpu:6.2f} s of CPU")
PY
for _ in 1 2 3 4 5; do
  HOME=$(mktemp -d) python /tmp/warm.py shipped
  HOME=$(mktemp -d) NUMBA_CPU_NAME=x86-64-v2 NUMBA_CPU_FEATURES= python /tmp/warm.py anew
done
IN

say "a scheduler: in good health, and gone when it is told to"
name=hrrr-health-$$
trap 'podman rm -f -t 1 $name > /dev/null 2>&1 || true' EXIT
network=none pod -d --rm=false --name "$name" "$image" dask scheduler --host 127.0.0.1 --dashboard-address :8787 > /dev/null
for _ in $(seq 60); do podman exec "$name" python /opt/hrrr/health.py 2> /dev/null && break; sleep 1; done
podman exec "$name" python /opt/hrrr/health.py && echo "healthy"
podman stop -t 30 "$name" > /dev/null
echo "exit code $(podman inspect "$name" --format '{{.State.ExitCode}}'), 137 if it had to be killed"
podman rm "$name" > /dev/null

say "a command that is told to end before it has begun"
network=none pod -d --rm=false --name "$name" "$image" hrrr-dask demo /tmp/demo > /dev/null
podman stop -t 30 "$name" > /dev/null
echo "exit code $(podman inspect "$name" --format '{{.State.ExitCode}}')"

#!/bin/bash
# Builds docker/Dockerfile with buildah and runs it, as root on a plain machine (Debian: buildah, debootstrap). The base is a
# root file system made by debootstrap, so no registry is needed. Quantises the sample in a container, stops one in the
# middle and resumes in another, and looks at the results from outside.
# Usage: container.sh <work folder>; needs docker/prepare.sh cpu artifacts/image.
# AWQ_ROOTFS: a root file system that debootstrap made before (minbase with ca-certificates and libstdc++6).
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "$1"
work=$(cd "$1" && pwd)
export BUILDAH_ISOLATION=chroot STORAGE_DRIVER=${STORAGE_DRIVER:-overlay}
buildah() { command buildah --root "$work/storage" --runroot "$work/run" "$@"; }

rootfs=${AWQ_ROOTFS:-$work/rootfs}
[ -d "$rootfs" ] || debootstrap --variant=minbase --include=ca-certificates,libstdc++6 bookworm "$rootfs"
base=$(buildah from scratch)
buildah copy --quiet "$base" "$rootfs" / > /dev/null
buildah config --cmd /bin/sh "$base"
buildah commit --quiet --rm "$base" localhost/awq-base > /dev/null

buildah bud --quiet --format docker --build-arg SDK_IMAGE=localhost/awq-base --build-arg BASE_IMAGE=localhost/awq-base \
    --build-arg VERSION=test --tag localhost/awq -f "$root/docker/Dockerfile" "$root" > /dev/null
buildah inspect --type image localhost/awq > "$work/image.json"
grep -q org.opencontainers.image.version "$work/image.json"
grep -qi healthcheck "$work/image.json"

models=$work/models
mkdir -p "$models"
for model in whole stopped; do
    cp -r "$root/samples/stories-llama" "$models/$model"
    rm -rf "$models/$model"/AWQ-4bit*
done
chown -R 1234:1234 "$models"

container=$(buildah from localhost/awq)
run() { buildah run --user "$1" --volume "$models:/models" "$container" -- /opt/awq/entrypoint.sh "${@:2}"; }

[ "$(run 1234:1234 --version)" = "$(sed -n 's:.*<Version>\(.*\)</Version>.*:\1:p' "$root/Directory.Build.props")" ]
run 1234:1234 Invoke-AwqQuantization /models/whole -GroupSize 32
[ "$(stat -c %u "$models/whole/AWQ-4bit/model.safetensors")" = 1234 ]
test -f "$models/whole/AWQ-4bit/config.json"

# A wrong command line and a missing model end with 1, not with 0.
if run 1234:1234 Invoke-AwqQuantization /models/missing; then exit 1; fi

# Started as root, the run becomes the owner of the volume; SIGTERM ends it, and another container goes on.
run 0:0 Invoke-AwqQuantization /models/stopped -GroupSize 32 &
for _ in $(seq 1200); do
    find "$models/stopped" -mindepth 2 -name '*.safetensors' | grep -q . && break
    sleep 0.1
done
# The engine's own process, as a container runtime would signal it.
for process in /proc/[0-9]*; do
    if tr '\0' ' ' < "$process/cmdline" 2> /dev/null | grep -q '^dotnet .*AwqQuantize.Console.dll Invoke-AwqQuantization /models/stopped'; then
        [ "$(stat -c %u "$process")" = 1234 ]
        kill -TERM "${process#/proc/}"
    fi
done
status=0
wait $! || status=$?
echo "stopped with $status"
[ "$status" -ne 0 ]
[ ! -e "$models/stopped/AWQ-4bit/config.json" ]
run 1234:1234 Invoke-AwqQuantization /models/stopped -GroupSize 32 -Resume
cmp "$models/whole/AWQ-4bit/model.safetensors" "$models/stopped/AWQ-4bit/model.safetensors"
[ -z "$(find "$models" ! -user 1234)" ]
buildah rm "$container" > /dev/null
echo "Container: quantised inside, stopped and resumed across containers with the same bytes, nothing owned by root."

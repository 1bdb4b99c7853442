#!/bin/bash
# Builds docker/Dockerfile and runs it: quantises the sample in a container, stops one in the middle and resumes in another, and
# looks at the results from outside.
# Usage: container.sh <work folder> [docker|podman|buildah]; default: the first that works here.
# As root with debootstrap the base is a root file system that debootstrap makes, so that no registry is needed; else it is
# what the Dockerfile names. buildah works on a plain machine without a container runtime, as root.
# AWQ_ROOTFS     a root file system that debootstrap made before (minbase with ca-certificates and libstdc++6)
# AWQ_RUN        options for docker run and podman run, where a machine needs some
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "$1"
work=$(cd "$1" && pwd)
engine=${2:-}
# shellcheck source=tests/fleet/engine.sh
. "$root/tests/fleet/engine.sh"

prepare "$work/context"
base=$(base_image)
build_image "$work/context" localhost/awq-test "$base"
inspect_image localhost/awq-test > "$work/image.json"
for expected in org.opencontainers.image.version org.opencontainers.image.base.name '[Hh]ealthcheck' entrypoint.sh; do
    grep -q "$expected" "$work/image.json"
done

owner=$(id -u)
[ "$owner" != 0 ] || owner=1234
models=$work/models
for model in whole stopped plain; do
    mkdir -p "$models/$model"
    find "$root/samples/stories-llama" -maxdepth 1 -type f -exec cp {} "$models/$model" \;
done
[ "$(id -u)" != 0 ] || chown -R "$owner:$owner" "$models"
options="-GroupSize 32 -SampleCount 64 -SequenceLength 512"

[ "$(run "$owner" --version)" = "$(sed -n 's:.*<Version>\(.*\)</Version>.*:\1:p' "$root/Directory.Build.props")" ]
# shellcheck disable=SC2086 # options are words
run "$owner" Invoke-AwqQuantization /models/whole $options
[ "$(stat -c %u "$models/whole/AWQ-4bit/model.safetensors")" = "$owner" ]
test -f "$models/whole/AWQ-4bit/config.json"

# A wrong command line and a missing model end with 1, a script with its own code.
for wrong in "Invoke-AwqQuantization /models/missing" "Get-AwqModel -NoSuchParameter"; do
    status=0
    # shellcheck disable=SC2086
    run "$owner" $wrong 2> "$work/error.log" || status=$?
    [ "$status" = 1 ]
done
if [ -e "$work/context/artifacts/image/pwsh" ]; then
    status=0
    [ "$(run "$owner" -Command 'Get-AwqModel /models -Recurse | Where-Object Name -eq whole | ForEach-Object Name; exit 7' || echo "status $?")" = $'whole\nstatus 7' ]
fi
# Where the image has no pwsh, the console host does the same.
without_pwsh "$owner" Invoke-AwqQuantization /models/plain -NoCalibration
test -f "$models/plain/AWQ-4bit/config.json"

# Started as root, the run becomes the owner of the volume; SIGTERM ends it, and another container goes on.
# shellcheck disable=SC2086
start 0 Invoke-AwqQuantization /models/stopped $options
for _ in $(seq 6000); do
    compgen -G "$models/stopped/*/layer-*.safetensors" > /dev/null && break
    sleep 0.05
done
stop
echo "stopped with $status"
[ "$status" = 143 ]
[ ! -e "$models/stopped/AWQ-4bit/config.json" ]
# shellcheck disable=SC2086
run "$owner" Invoke-AwqQuantization /models/stopped $options -Resume -Verbose | tee "$work/resumed.log"
grep -q 'An earlier run is taken up' "$work/resumed.log"
cmp "$models/whole/AWQ-4bit/model.safetensors" "$models/stopped/AWQ-4bit/model.safetensors"
[ -z "$(find "$models" ! -user "$owner")" ]
echo "Container ($engine): quantised inside, stopped and resumed across containers with the same bytes, nothing owned by root."

#!/bin/bash
# Runs build_and_push.ps1 with buildah or docker against a docker-registry on this machine with basic authentication, pulls what
# it pushed into another storage, and runs it. As root; Debian: buildah or docker.io, debootstrap, docker-registry.
# Usage: push.sh <work folder> [buildah|docker]
# AWQ_PUSH_TESTS  not empty: build_and_push.ps1 runs the project's tests, too, as it does without -SkipTests
# AWQ_ROOTFS      as in container.sh
# AWQ_SHELL       what runs the script: "pwsh" or "dotnet …/pwsh.dll"; default: the console host
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "$1"
work=$(cd "$1" && pwd)
engine=${2:-buildah}
# shellcheck source=tests/fleet/engine.sh
. "$root/tests/fleet/engine.sh"
export REGISTRY_AUTH_FILE=$work/auth.json CONTAINERS_STORAGE_CONF=$work/storage.conf DOCKER_CONFIG=$work/docker
storage() { printf '[storage]\ndriver = "overlay"\ngraphroot = "%s"\nrunroot = "%s"\n' "$work/$1" "$work/$1-run" > "$CONTAINERS_STORAGE_CONF"; }
with() { command "$engine" "$@"; }
# docker takes plain HTTP on this machine by itself.
plain=()
[ "$engine" = docker ] || plain=(--tls-verify=false)

storage one
echo "{}" > "$REGISTRY_AUTH_FILE"
mkdir -p "$DOCKER_CONFIG"
echo "{}" > "$DOCKER_CONFIG/config.json"
base=$(base_image)

# docker keeps its images in one storage, those of earlier runs among them.
repository=team/awq-$$

# bcrypt, at the least cost, of a password that guards nothing.
password=pa:ss_w0rd-of-nobody
printf 'tester:%s\n' '$2b$04$j24TOWgWxSoaPrM95LszxOC4LWQRNQczFx2g5bpq1uGdi9uXANF9q' > "$work/htpasswd"
port=5997
while (: < "/dev/tcp/127.0.0.1/$port") 2> /dev/null; do port=$((port + 1)); done
cat > "$work/registry.yml" << CONF
version: 0.1
storage:
  filesystem:
    rootdirectory: $work/registry
http:
  addr: 127.0.0.1:$port
auth:
  htpasswd:
    realm: test
    path: $work/htpasswd
CONF
# It takes REGISTRY_* from the environment as settings.
env -u REGISTRY_AUTH_FILE docker-registry serve "$work/registry.yml" > "$work/registry.log" 2>&1 &
registry=$!
trap 'kill $registry' EXIT
for _ in $(seq 50); do (: < /dev/tcp/127.0.0.1/$port) 2> /dev/null && break; sleep 0.1; done

shell=${AWQ_SHELL:-dotnet $root/artifacts/bin/AwqQuantize.Console/release/AwqQuantize.Console.dll}
script() {
    # shellcheck disable=SC2086 # a command with its arguments
    $shell -Command "& '$root/build_and_push.ps1' -Engine $engine -Registry '127.0.0.1:$port' -Repository $repository -Tag test -BaseImage '$base' $* | ConvertTo-Json"
}
# Without a login it ends before the long part.
if script -SkipTests -Push > "$work/refused.log" 2>&1; then exit 1; fi
grep -q 'There is no login' "$work/refused.log"
printf %s "$password" | with login "${plain[@]}" --username tester --password-stdin "127.0.0.1:$port"
# -WhatIf names each step, and does none.
script -Push -WhatIf > "$work/whatif.log" 2>&1
for step in 'Build the module' 'Run the tests' "Build the image with $engine" "Push with $engine"; do grep -q "$step" "$work/whatif.log"; done
[ -z "$(with images --quiet "127.0.0.1:$port/$repository" 2> /dev/null)" ]

tests=-SkipTests
[ -z "${AWQ_PUSH_TESTS-}" ] || tests=
# This script is one of the tests.
unset AWQ_PUSH_TESTS
script $tests -Push 2> "$work/built.log" | tee "$work/pushed.log"
if grep -rF -e "$password" -e "$(printf 'tester:%s' "$password" | base64)" "$work"/*.log; then exit 1; fi
digest=$(grep -o 'sha256:[0-9a-f]*' "$work/pushed.log" | head -n 1)
grep -q "$engine pull .*127.0.0.1:$port/$repository@$digest" "$work/pushed.log"

image=127.0.0.1:$port/$repository@$digest
if [ "$engine" = docker ]; then
    with rmi --force "127.0.0.1:$port/$repository:test" "$image" > /dev/null
    with pull --quiet "$image"
    in_image() { with run --rm "$image" "$@"; }
else
    storage two
    with pull --quiet "${plain[@]}" "$image"
    container=$(with from "$image")
    in_image() { with run "$container" -- /opt/awq/entrypoint.sh "$@"; }
fi
[ "$(in_image --version)" = "$(sed -n 's:.*<Version>\(.*\)</Version>.*:\1:p' "$root/Directory.Build.props")" ]
in_image Get-AwqArchitecture llama
[ "$engine" != docker ] || with rmi --force "$image" > /dev/null
echo "build_and_push ($engine): refused without login, pushed, pulled by digest, runs."

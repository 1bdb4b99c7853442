#!/bin/bash
# Runs build_and_push.ps1 (in the console host) with buildah against a docker-registry on this machine with basic
# authentication, pulls what it pushed into another storage, and runs it. As root; Debian: buildah, debootstrap, docker-registry.
# Usage: push.sh <work folder>. AWQ_ROOTFS as in container.sh.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "$1"
work=$(cd "$1" && pwd)
export BUILDAH_ISOLATION=chroot REGISTRY_AUTH_FILE=$work/auth.json CONTAINERS_STORAGE_CONF=$work/storage.conf
store() { printf '[storage]\ndriver = "overlay"\ngraphroot = "%s"\nrunroot = "%s"\n' "$work/$1" "$work/$1-run" > "$CONTAINERS_STORAGE_CONF"; }

rootfs=${AWQ_ROOTFS:-$work/rootfs}
[ -d "$rootfs" ] || debootstrap --variant=minbase --include=ca-certificates,libstdc++6 bookworm "$rootfs"
store one
echo "{}" > "$REGISTRY_AUTH_FILE"
base=$(buildah from scratch)
buildah copy --quiet "$base" "$rootfs" / > /dev/null
buildah commit --quiet --rm "$base" localhost/awq-base > /dev/null

# bcrypt, at the least cost, of a password that guards nothing.
password=pa:ss_w0rd-of-nobody
printf 'tester:%s\n' '$2b$04$j24TOWgWxSoaPrM95LszxOC4LWQRNQczFx2g5bpq1uGdi9uXANF9q' > "$work/htpasswd"
port=5997
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

script() {
    dotnet "$root/artifacts/bin/AwqQuantize.Console/release/AwqQuantize.Console.dll" -File "$root/build_and_push.ps1" \
        -Engine buildah -Registry "127.0.0.1:$port" -Repository team/awq -Tag test -BaseImage localhost/awq-base -SkipTests -Push "$@"
}
if script > "$work/refused.log" 2>&1; then exit 1; fi
grep -q 'There is no login' "$work/refused.log"
printf %s "$password" | buildah login --tls-verify=false --username tester --password-stdin "127.0.0.1:$port"
script | tee "$work/pushed.log"
if grep -r "$password" "$work"/*.log; then exit 1; fi
digest=$(grep -o 'sha256:[0-9a-f]*' "$work/pushed.log" | head -n 1)

store two
buildah pull --quiet --tls-verify=false "127.0.0.1:$port/team/awq@$digest"
container=$(buildah from "127.0.0.1:$port/team/awq@$digest")
buildah run "$container" -- /opt/awq/entrypoint.sh --version
echo "build_and_push: refused without login, pushed, pulled by digest, runs."

# shellcheck shell=bash
# What container.sh and push.sh do with docker, podman or buildah. Needs $root, $work and $engine ("": the first that works).
works() {
    case $1 in
        buildah) [ "$(id -u)" = 0 ] && command -v buildah > /dev/null ;;
        *) command -v "$1" > /dev/null && "$1" info > /dev/null 2>&1 ;;
    esac
}

# buildah before podman, for podman may say that it works where no container starts.
if [ -z "$engine" ]; then
    for engine in docker buildah podman none; do
        if [ "$engine" = none ] || works "$engine"; then break; fi
    done
fi
if [ "$engine" = none ]; then
    echo "SKIP: none of docker, podman and buildah (as root) works here."
    exit 0
fi
# Storage of its own, which goes with the work folder.
export BUILDAH_ISOLATION=chroot STORAGE_DRIVER=${STORAGE_DRIVER:-overlay}
unset STORAGE_OPTS
store=("--root" "$work/storage" "--runroot" "$work/run")
case $engine in
    buildah) with() { command buildah "${store[@]}" "$@"; } ;;
    podman) with() { command podman "${store[@]}" --cgroup-manager=cgroupfs "$@"; } ;;
    docker) with() { command docker "$@"; } ;;
esac

# A build context that holds what was built here, and nothing of the repository's own artifacts/image.
prepare() {
    mkdir -p "$1/artifacts"
    cp -r "$root/docker" "$1/"
    sh "$root/docker/prepare.sh" cpu "$1/artifacts/image" "${AWQ_PWSH:-tool}" >&2
}

# base_image: the name of the image to build on
base_image() {
    local rootfs=${AWQ_ROOTFS:-$root/artifacts/fleet/rootfs}
    if [ ! -d "$rootfs" ]; then
        if [ "$(id -u)" != 0 ] || ! command -v debootstrap > /dev/null; then
            echo docker.io/library/debian:12-slim
            return
        fi
        # Kept for the next time; complete or not there.
        mkdir -p "$(dirname "$rootfs")"
        rm -rf "$rootfs.new"
        debootstrap --variant=minbase --include=ca-certificates,libstdc++6 bookworm "$rootfs.new" >&2
        mv "$rootfs.new" "$rootfs"
    fi
    if [ "$engine" = buildah ]; then
        local container
        container=$(with from scratch)
        with copy --quiet "$container" "$rootfs" / > /dev/null
        with config --cmd /bin/sh "$container"
        with commit --quiet --rm "$container" localhost/awq-base > /dev/null
    else
        tar -C "$rootfs" -c . | with import - localhost/awq-base > /dev/null
    fi
    echo localhost/awq-base
}

build_image() {
    local build=(build)
    [ "$engine" != buildah ] || build=(bud --format docker)
    [ "$engine" != podman ] || build=(build --format docker)
    with "${build[@]}" --build-arg "SDK_IMAGE=$3" --build-arg "BASE_IMAGE=$3" --build-arg VERSION=test --tag "$2" -f "$1/docker/Dockerfile" "$1" >&2
}

inspect_image() {
    if [ "$engine" = buildah ]; then with inspect --type image "$1"; else with image inspect "$1"; fi
}

# run <user id> <arguments of the entry script>
run() {
    if [ "$engine" = buildah ]; then
        with run --user "$1:$1" --volume "$work/models:/models" "$(container)" -- /opt/awq/entrypoint.sh "${@:2}"
    else
        # shellcheck disable=SC2046,SC2086
        with run --rm $(as "$1") ${AWQ_RUN:-} --volume "$work/models:/models" localhost/awq-test "${@:2}"
    fi
}

without_pwsh() {
    local path=/opt/awq/dotnet:/usr/bin:/bin
    if [ "$engine" = buildah ]; then
        with run --user "$1:$1" --env "PATH=$path" --volume "$work/models:/models" "$(container)" -- /opt/awq/entrypoint.sh "${@:2}"
    else
        # shellcheck disable=SC2046,SC2086
        with run --rm $(as "$1") ${AWQ_RUN:-} --env "PATH=$path" --volume "$work/models:/models" localhost/awq-test "${@:2}"
    fi
}

# Rootless podman: the user itself is who it is inside.
as() {
    if [ "$engine" = podman ] && [ "$(id -u)" != 0 ]; then echo --userns=keep-id; else echo --user "$1:$1"; fi
}

container() {
    [ -s "$work/container" ] || with from localhost/awq-test > "$work/container"
    cat "$work/container"
}

start() {
    if [ "$engine" = buildah ]; then
        container > /dev/null
        run "$@" > "$work/started.log" 2>&1 &
        started=$!
    else
        # shellcheck disable=SC2046,SC2086
        started=$(with run --detach --read-only --tmpfs /tmp $(as "$1") ${AWQ_RUN:-} --volume "$work/models:/models" localhost/awq-test "${@:2}")
    fi
}

# Ends what start started as a container runtime does; its exit code is in $status.
stop() {
    local process
    status=0
    if [ "$engine" != buildah ]; then
        with stop --time 30 "$started" > /dev/null
        status=$(with inspect --format '{{.State.ExitCode}}' "$started")
        with rm "$started" > /dev/null
        return
    fi
    # buildah has no stop: the process in the container is signalled. Nothing of it runs as root, but all of buildah does.
    local signalled=
    while [ -z "$signalled" ] && kill -0 "$started" 2> /dev/null; do
        for process in $(grep -slF --text /models/stopped /proc/[0-9]*/cmdline); do
            process=${process%/cmdline}
            if [ "$(stat -c %u "$process" 2> /dev/null)" = "$owner" ] && kill -TERM "${process#/proc/}"; then signalled=1; fi
        done
    done
    # It says 1 of a process that a signal ended.
    wait "$started" || status=143
}

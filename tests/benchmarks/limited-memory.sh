#!/bin/sh
# Quantises a model inside a memory limit of the kernel, and says what the group took at most.
#   tests/benchmarks/limited-memory.sh MODEL OUTPUT [BYTES] [more arguments of Invoke-AwqQuantization]
# Needs root for control groups of version 1, or systemd for those of version 2.
set -eu
model=$1 output=$2 bytes=${3:-1200000000}
shift 2
[ $# -gt 0 ] && shift
root=$(cd "$(dirname "$0")/../.." && pwd)
console=${AWQ_CONSOLE:-$root/artifacts/bin/AwqQuantize.Console/release}/AwqQuantize.Console.dll
if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
    exec systemd-run --scope --quiet -p MemoryMax="$bytes" -p MemorySwapMax=0 \
        dotnet "$console" Invoke-AwqQuantization -Path "$model" -OutputPath "$output" "$@"
fi
group=/sys/fs/cgroup/memory/awq-limited-$$
mkdir "$group"
echo "$bytes" > "$group/memory.limit_in_bytes"
status=0
sh -c 'echo $$ > "$0/cgroup.procs"; exec "$@"' "$group" \
    dotnet "$console" Invoke-AwqQuantization -Path "$model" -OutputPath "$output" "$@" || status=$?
echo "limit $bytes, most used (page cache included) $(cat "$group/memory.max_usage_in_bytes"), resident at the end $(grep -m1 '^rss ' "$group/memory.stat"), refusals $(cat "$group/memory.failcnt")"
rmdir "$group"
exit $status

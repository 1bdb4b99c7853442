#!/bin/sh
# Gathers what goes into the image: module, console host, .NET runtime, and pwsh where it can be had.
# Usage: prepare.sh <cpu|cuda-linux> <destination>
# Inside the image build a folder artifacts/image that was prepared outside is taken as it is.
set -eu
backend=$1
destination=$2
root=$(cd "$(dirname "$0")/.." && pwd)

if [ -d "$root/artifacts/image/modules" ] && [ "$destination" != "$root/artifacts/image" ]; then
    if [ "$(cat "$root/artifacts/image/backend")" != "$backend" ]; then
        echo "artifacts/image was prepared for $(cat "$root/artifacts/image/backend"), not for $backend: delete it, or prepare it again." >&2
        exit 1
    fi
    mkdir -p "$(dirname "$destination")"
    cp -a "$root/artifacts/image" "$destination"
    exit 0
fi

dotnet build -c Release -p:TorchBackend="$backend" "$root/src/AwqQuantize.Console"
rm -rf "$destination"
mkdir -p "$destination/modules" "$destination/dotnet/shared"
cp -a "$root/artifacts/AwqQuantize" "$destination/modules/AwqQuantize"
cp -a "$root/artifacts/bin/AwqQuantize.Console/release" "$destination/console"

# The runtime of the SDK at hand: the image then depends on no base with one.
runtime=$(dotnet --list-runtimes | sed -n 's/^Microsoft\.NETCore\.App \(10\.[^ ]*\) \[\(.*\)\/shared\/Microsoft\.NETCore\.App\]$/\2 \1/p' | tail -n 1)
from=${runtime% *}
version=${runtime##* }
if [ -z "$runtime" ]; then
    echo "The SDK has no runtime Microsoft.NETCore.App 10." >&2
    exit 1
fi
mkdir -p "$destination/dotnet/shared/Microsoft.NETCore.App" "$destination/dotnet/host/fxr"
cp -a "$from/dotnet" "$destination/dotnet/dotnet"
cp -a "$from/shared/Microsoft.NETCore.App/$version" "$destination/dotnet/shared/Microsoft.NETCore.App/"
cp -a "$from/host/fxr/$version" "$destination/dotnet/host/fxr/"

if ! dotnet tool install --tool-path "$destination/pwsh" PowerShell; then
    rm -rf "$destination/pwsh"
    echo "pwsh cannot be installed here; the console host takes its place." >&2
fi
for file in entrypoint.sh run-task.sh; do
    cp "$root/docker/$file" "$destination/$file"
    chmod 755 "$destination/$file"
done
printf '%s\n' "$backend" > "$destination/backend"
chmod -R a+rX "$destination"

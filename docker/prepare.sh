#!/bin/sh
# Gathers what goes into the image: module, console host, .NET runtime, and pwsh.
# Usage: prepare.sh <cpu|cuda-linux> <destination> [pwsh]
# pwsh   "tool" (default): from the .NET tool package, in the version that the module is tested with
#        "none": the console host takes its place
#        or a folder or .tar.gz with PowerShell for Linux, as it is published
# Inside the image build a folder artifacts/image that was prepared outside is taken as it is.
set -eu
backend=$1
destination=$2
pwsh=${3:-tool}
root=$(cd "$(dirname "$0")/.." && pwd)
case $destination in
    /*) ;;
    *) destination=$PWD/$destination ;;
esac

if [ -d "$root/artifacts/image/modules" ] && [ "$destination" != "$root/artifacts/image" ]; then
    if [ "$(cat "$root/artifacts/image/backend")" != "$backend" ]; then
        echo "artifacts/image was prepared for $(cat "$root/artifacts/image/backend"), not for $backend: delete it, or prepare it again." >&2
        exit 1
    fi
    mkdir -p "$(dirname "$destination")"
    cp -a "$root/artifacts/image" "$destination"
    exit 0
fi

# AWQ_BUILT: the build is there already.
[ -n "${AWQ_BUILT-}" ] || dotnet build -c Release -p:TorchBackend="$backend" "$root/src/AwqQuantize.Console"
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

# The tool package holds PowerShell for Windows too, and itself packed once more: only what Linux runs is taken.
from_tool() {
    version=$(sed -n 's:.*<PowerShellVersion>\(.*\)</PowerShellVersion>.*:\1:p' "$root/Directory.Packages.props")
    tool=$(mktemp -d)
    if dotnet tool install --tool-path "$tool" --version "$version" PowerShell; then
        cp -a "$(dirname "$(find "$tool" -path '*/unix/pwsh.dll')")" "$destination/pwsh"
        rm -rf "$tool"
    else
        rm -rf "$tool"
        echo "PowerShell $version cannot be installed here. With 'none' in its place the image gets the console host." >&2
        exit 1
    fi
}

case $pwsh in
    none) ;;
    tool) from_tool ;;
    *)
        [ -e "$pwsh" ] || pwsh=$root/$pwsh
        if [ ! -e "$pwsh" ]; then
            echo "There is no '$3', neither here nor in the repository." >&2
            exit 1
        fi
        mkdir "$destination/pwsh"
        if [ -d "$pwsh" ]; then cp -a "$pwsh/." "$destination/pwsh"; else tar -xzf "$pwsh" -C "$destination/pwsh"; fi
        if [ ! -e "$destination/pwsh/pwsh.dll" ]; then
            echo "'$3' holds no PowerShell: there is no pwsh.dll at its top." >&2
            exit 1
        fi
        ;;
esac
if [ -d "$destination/pwsh" ]; then
    # PowerShell without a runtime of its own runs on the one above.
    [ -e "$destination/pwsh/pwsh" ] || printf '#!/bin/sh\nexec dotnet "$(dirname "$(readlink -f "$0")")/pwsh.dll" "$@"\n' > "$destination/pwsh/pwsh"
    chmod 755 "$destination/pwsh/pwsh"
fi
for file in entrypoint.sh run-task.sh; do
    cp "$root/docker/$file" "$destination/$file"
    chmod 755 "$destination/$file"
done
printf '%s\n' "$backend" > "$destination/backend"
chmod -R a+rX "$destination"

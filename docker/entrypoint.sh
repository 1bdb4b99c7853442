#!/bin/sh
# Runs a cmdlet given as arguments; without arguments an interactive pwsh with the module imported.
set -eu
home=$(dirname "$(readlink -f "$0")")

# Started as root: the files belong to whoever owns the volume.
if [ "$(id -u)" = 0 ] && [ -d /models ]; then
    owner=$(stat -c '%u %g' /models)
    if [ "${owner% *}" != 0 ]; then
        exec setpriv --reuid="${owner% *}" --regid="${owner#* }" --clear-groups -- "$0" "$@"
    fi
fi

for module in "$home"/modules/AwqQuantize/*; do
    AWQ_MODULE=$module
done
export AWQ_MODULE

# exec everywhere: signals reach the run, and its exit code is the container's.
console() {
    exec dotnet "$home/console/AwqQuantize.Console.dll" "$@"
}

quoted() {
    printf "'%s'" "$(printf '%s' "$1" | sed "s/'/''/g")"
}

if [ $# -eq 0 ]; then
    if command -v pwsh > /dev/null; then
        exec pwsh -NoLogo -NoExit -Command 'Import-Module AwqQuantize'
    fi
    console --help
fi
case $1 in
    -*) console "$@" ;;
    pwsh | sh | bash | /*) exec "$@" ;;
esac
if ! command -v pwsh > /dev/null; then
    console "$@"
fi
# Parameter names stay bare, everything else is a quoted string; a comma makes a list unless a file has that name.
line="& $(quoted "$1")"
shift
for word in "$@"; do
    case $word in
        -[A-Za-z]*) line="$line $word" ;;
        *,*)
            if [ -e "$word" ]; then
                line="$line $(quoted "$word")"
            else
                line="$line $(quoted "$word" | sed "s/,/','/g")"
            fi
            ;;
        *) line="$line $(quoted "$word")" ;;
    esac
done
exec pwsh -NoLogo -NoProfile -NonInteractive -Command "Import-Module AwqQuantize; $line"

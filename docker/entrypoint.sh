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

usage() {
    cat << 'TEXT'
Turns Hugging Face text models into 4-bit AWQ checkpoints.

  docker run --user $(id -u):$(id -g) -v /data/models:/models IMAGE <cmdlet> [arguments]
  docker run ... IMAGE -Command <script>            a script, e.g. a pipeline
  docker run ... IMAGE -File <script.ps1> [arguments]
  docker run -it ... IMAGE                          an interactive PowerShell with the module imported
  docker run ... IMAGE --help | --version

Examples, each behind "docker run ... IMAGE"
  Get-AwqModel /models -Recurse
  Invoke-AwqQuantization /models/Llama-3-8B -GroupSize 64
  -Command "Get-AwqModel /models -Recurse | Where-Object IsSupported | Invoke-AwqQuantization -Resume"
  Get-Help Invoke-AwqQuantization -Full

A comma separates the elements of a list: -ExcludeModule lm_head,'*.gate'.
Exit code: 0 without errors, 1 with any, 143 after SIGTERM; an interrupted run goes on with -Resume.
TEXT
}

# Becomes the program. The first process of a container is given no signal that it has no handler for, and .NET has none for
# SIGTERM: there the program is a child, and signals are passed on. Its exit code is the container's either way.
run() {
    [ $$ -eq 1 ] || exec "$@"
    # A background process reads nothing and ignores SIGINT, unless it is told.
    exec 3<&0
    env --default-signal=INT,QUIT "$@" <&3 3<&- &
    child=$!
    trap 'kill -TERM "$child"' TERM
    # At a terminal Ctrl+C reaches the child by itself.
    if [ -t 0 ]; then trap : INT QUIT; else trap 'kill -INT "$child"' INT; trap 'kill -QUIT "$child"' QUIT; fi
    # A signal ends wait before the child has ended.
    status=0
    while :; do
        wait "$child" && status=0 || status=$?
        kill -0 "$child" 2> /dev/null || exit "$status"
    done
}

console() {
    run dotnet "$home/console/AwqQuantize.Console.dll" "$@"
}

quoted() {
    printf "'%s'" "$(printf '%s' "$1" | sed "s/'/''/g")"
}

# A comma makes a list unless a file has that name; $true, $false and $null are what they say.
value() {
    case $1 in
        '$'[Tt][Rr][Uu][Ee] | '$'[Ff][Aa][Ll][Ss][Ee] | '$'[Nn][Uu][Ll][Ll]) printf '%s' "$1" ;;
        *,*) if [ -e "$1" ]; then quoted "$1"; else quoted "$1" | sed "s/,/','/g"; fi ;;
        *) quoted "$1" ;;
    esac
}

is_parameter() {
    case $1 in
        -[A-Za-z_]*) ;;
        *) return 1 ;;
    esac
    case ${1#-} in
        *[!A-Za-z0-9_]*) return 1 ;;
    esac
}

if [ -t 1 ] && [ -z "${TERM-}" ]; then export TERM=xterm; fi
pwsh=$(command -v pwsh || true)
case ${1-} in
    --help | -[Hh] | -[Hh]elp | '-?') usage; exit ;;
    --version | -[Vv]ersion) console --version ;;
    sh | bash | pwsh | /*) run "$@" ;;
    '')
        if [ -n "$pwsh" ]; then
            run pwsh -NoLogo -NoExit -Command 'Import-Module AwqQuantize'
        fi
        usage
        exit
        ;;
esac
if [ -z "$pwsh" ]; then
    console "$@"
fi
# pwsh colours what goes into a pipe or a log, unless it is told.
[ -t 1 ] && [ -t 2 ] || export NO_COLOR=1
# Whoever sits at a terminal can be asked.
interactive=-Interactive
[ -t 0 ] || interactive=-NonInteractive
case $1 in
    # A script finds the module by its name.
    -*) run pwsh -NoLogo -NoProfile "$interactive" "$@" ;;
esac
# The shell has removed the quotes: parameter names stay bare, everything else is a quoted string again.
line="& $(quoted "$1")"
shift
for word in "$@"; do
    if is_parameter "$word"; then
        line="$line $word"
    elif [ "${word#*:}" != "$word" ] && is_parameter "${word%%:*}"; then
        line="$line ${word%%:*}:$(value "${word#*:}")"
    else
        line="$line $(value "$word")"
    fi
done
# Without a terminal pwsh takes it to be 80 columns wide, too few for paths.
[ -t 1 ] || line="$line | Out-String -Stream -Width 1000"
run pwsh -NoLogo -NoProfile "$interactive" -Command "Import-Module AwqQuantize; $line"

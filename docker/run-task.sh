#!/bin/sh
# Quantises one model of a list: one task of an array job.
# Usage: run-task.sh <list> <number from 1> [arguments for Invoke-AwqQuantization]
# The list is what `Get-AwqModel … | Export-Csv models.csv` wrote, or has one folder per line.
# A model that is finished already is left alone, an interrupted one goes on where it stopped, and one that another task
# works on is that task's: so a task may be started again at any time.
# AWQ_COMMAND: how a cmdlet is run, e.g. "apptainer run --nv awq.sif"; default: the entry script beside this file.
set -eu
list=$1
number=$2
shift 2

# Quoted fields may hold commas and doubled quotes; a header names the column Path.
model=$(awk -v wanted="$number" '
    function split_row(line, fields,    count, i, c, field, inside) {
        count = 0; field = ""; inside = 0
        for (i = 1; i <= length(line); i++) {
            c = substr(line, i, 1)
            if (inside && c == "\"" && substr(line, i + 1, 1) == "\"") { field = field c; i++ }
            else if (c == "\"") inside = !inside
            else if (c == "," && !inside) { fields[++count] = field; field = "" }
            else field = field c
        }
        fields[++count] = field
        return count
    }
    { sub(/\r$/, "") }
    NR == 1 { sub(/^\357\273\277/, "") }
    /^#TYPE/ || /^[[:space:]]*$/ { next }
    !column && !plain {
        n = split_row($0, names)
        for (i = 1; i <= n; i++) if (tolower(names[i]) == "path") column = i
        if (column) next
        plain = 1
    }
    ++row == wanted {
        if (plain) print
        else { split_row($0, cells); print cells[column] }
        exit
    }
' "$list")
if [ -z "$model" ]; then
    echo "'$list' has no model number $number." >&2
    exit 2
fi

folder=AWQ-4bit
verbose=-Verbose # a line for each layer in the task's log
for argument in "$@"; do
    case $argument in
        -[Mm]ax[Qq]*) folder=AWQ-4bit-MAX ;;
        -[Vv]erb* | -[Vv][Bb]*) verbose= ;;
    esac
done
# The destination appears by one rename when it is complete.
if [ -f "$model/$folder/config.json" ]; then
    echo "$model is finished."
    exit 0
fi
echo "$model"
command=${AWQ_COMMAND:-$(dirname "$(readlink -f "$0")")/entrypoint.sh}
# shellcheck disable=SC2086 # AWQ_COMMAND is a command with its arguments; nothing is left of an empty option.
exec $command Invoke-AwqQuantization -LiteralPath "$model" -Resume $verbose "$@"

#!/bin/sh
# Submits an array job over a list of models.
# Usage: submit.sh <list> [sbatch options] [-- arguments for Invoke-AwqQuantization]
#   pwsh> Get-AwqModel /models -Recurse | Where-Object IsSupported | Export-Csv models.csv
#   $ AWQ_COMMAND="apptainer run --nv awq.sif" docker/slurm/submit.sh models.csv --gpus=1 --time=4:00:00 -- -GroupSize 128
# AWQ_PARALLEL: most tasks at a time (8).
set -eu
here=$(dirname "$(readlink -f "$0")")
list=$(readlink -f "$1")
shift
AWQ_TASK=$(readlink -f "$here/../run-task.sh")
AWQ_LIST=$list
export AWQ_TASK AWQ_LIST

# Rows with something in them, less a header.
models=$(awk '/^#TYPE/ || /^[[:space:]]*\r?$/ { next } !seen++ && tolower($0) ~ /(^|,)"?path"?(,|\r?$)/ { next } { n++ } END { print n + 0 }' "$list")
if [ "$models" -eq 0 ]; then
    echo "'$list' names no model." >&2
    exit 2
fi
options=
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    options="$options $(printf '%s' "$1" | sed "s/'/'\\\\''/g; s/^/'/; s/\$/'/")"
    shift
done
[ $# -gt 0 ] && shift
eval "exec sbatch --array=1-$models%${AWQ_PARALLEL:-8} --export=ALL $options \"\$here/quantize.sbatch\" \"\$@\""

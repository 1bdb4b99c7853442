#!/bin/bash
# Runs docker/slurm on a Slurm of this one machine (Debian: slurm-wlm, munge), as root: two models, one task stopped in the
# middle as preemption does it. Both must end up quantised, the stopped one by resuming.
# Usage: slurm.sh <work folder>; needs a built console host (dotnet build -c Release src/AwqQuantize.Console).
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$1
mkdir -p "$work"/{models,state,spool,log,munge}
work=$(cd "$work" && pwd)
host=$(hostname -s)
export SLURM_CONF=$work/slurm.conf
cat > "$SLURM_CONF" << CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$work/munge/socket
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
SlurmctldPort=26817
SlurmdPort=26818
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
SlurmdSpoolDir=$work/spool
StateSaveLocation=$work/state
SlurmctldLogFile=$work/log/slurmctld.log
SlurmdLogFile=$work/log/slurmd.log
SchedulerType=sched/builtin
SelectType=select/cons_tres
KillWait=60
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=all Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF

dd if=/dev/urandom of="$work/munge/key" bs=1024 count=1 status=none
chmod 700 "$work/munge"
chmod 600 "$work/munge/key"
munged --foreground --force --key-file="$work/munge/key" --socket="$work/munge/socket" --pid-file="$work/munge/pid" \
    --seed-file="$work/munge/seed" --log-file="$work/log/munged.log" 2> /dev/null &
daemons=$!
trap 'kill $daemons 2> /dev/null || true' EXIT
for _ in $(seq 50); do [ -S "$work/munge/socket" ] && break; sleep 0.1; done
slurmctld -D > /dev/null 2>&1 &
daemons="$daemons $!"
slurmd -D -N "$host" > /dev/null 2>&1 &
daemons="$daemons $!"
for _ in $(seq 100); do [ "$(sinfo -h -o %T 2> /dev/null)" = idle ] && break; sleep 0.2; done

for model in one two; do
    cp -r "$root/samples/stories-llama" "$work/models/$model"
    rm -rf "$work/models/$model"/AWQ-4bit*
done
printf '"Name","Path"\n"one","%s/models/one"\n"two","%s/models/two"\n' "$work" "$work" > "$work/models.csv"
export AWQ_COMMAND="dotnet $root/artifacts/bin/AwqQuantize.Console/release/AwqQuantize.Console.dll"
cd "$work"
job=$(AWQ_PARALLEL=1 "$root/docker/slurm/submit.sh" models.csv --parsable --ntasks=1 -- -GroupSize 32)
echo "job $job"

# The first task is stopped as soon as it has committed a layer.
for _ in $(seq 1200); do
    find "$work/models/one" -mindepth 2 -name '*.safetensors' | grep -q . && break
    sleep 0.1
done
scancel --batch --signal=TERM "${job}_1"
echo "stopped after: $(find "$work/models/one" -mindepth 2 -name '*.safetensors' | wc -l) part(s)"
for _ in $(seq 3000); do
    [ -z "$(squeue -h)" ] && break
    sleep 0.2
done
cat "$work"/awq-*.log
grep -q 'back into the queue' "$work/awq-${job}_1.log"
for model in one two; do
    test -f "$work/models/$model/AWQ-4bit/config.json"
done
# The stopped and resumed run gives the bytes of the undisturbed one.
cmp "$work/models/one/AWQ-4bit/model.safetensors" "$work/models/two/AWQ-4bit/model.safetensors"
echo "Slurm: both models are quantised, one after a stop, with the same bytes."

#!/bin/bash
# One sweep on the nodes of one Slurm job: sbatch sweeps/cluster/slurm.sh sweeps/vowels_cells.yaml
# Killed by the time limit it goes on with: sbatch sweeps/cluster/slurm.sh --resume runs/vowels_cells-1
# Replace: the numbers below, VENV, and LSTM_LAB_RUNS by a folder that all nodes mount.
#SBATCH --job-name=lstm-lab
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-node=0
#SBATCH --exclusive
#SBATCH --time=04:00:00
# Ctrl-C for the sweep two minutes before the end: it saves, and says how to go on.
#SBATCH --signal=B:INT@120
set -euo pipefail

VENV=${VENV:-.venv}
export PATH="$PWD/$VENV/bin:$PATH"
export LSTM_LAB_RUNS=${LSTM_LAB_RUNS:-$PWD/runs}
if [[ ${1:?give a sweep file, or --resume and a sweep} == --resume ]]; then
    command=(lstm-lab resume "${2:?give the sweep to go on with}")
else
    command=(lstm-lab sweep "$@")
fi

# Nobody else's job may run code in this one: a token of its own, readable by its owner alone.
umask 077
export RAY_USAGE_STATS_ENABLED=0 RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH="$LSTM_LAB_RUNS/.token-$SLURM_JOB_ID"
mkdir -p "$LSTM_LAB_RUNS"
"$PWD/$VENV/bin/python" -c 'import secrets; print(secrets.token_hex(32), end="")' > "$RAY_AUTH_TOKEN_PATH"
trap 'rm -f "$RAY_AUTH_TOKEN_PATH"' EXIT

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
port=$((20000 + SLURM_JOB_ID % 20000))
export RAY_ADDRESS="${nodes[0]}:$port"
# In the background and waited for, so that the signal reaches this shell and from here the sweep.
srun --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" \
    ray symmetric-run --address "$RAY_ADDRESS" --min-nodes "$SLURM_JOB_NUM_NODES" \
    --num-cpus="$SLURM_CPUS_PER_TASK" --num-gpus="${SLURM_GPUS_ON_NODE:-0}" --disable-usage-stats \
    -- "${command[@]}" --address auto &
running=$!
trap 'kill -INT "$running"' INT TERM
code=0
wait "$running" || code=$?
# The first wait ends with the signal; the sweep still saves.
if kill -0 "$running" 2> /dev/null; then wait "$running" || code=$?; fi
exit "$code"

"""Nothing leaves this machine: a sweep under strace, and the environment of W&B's processes."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hung import HUNG

from lstm_lab.tracking.client import _environment

ROOT = Path(__file__).parent.parent
STRACE = shutil.which("strace")
ADDRESS = re.compile(r'inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "(?:::ffff:)?([^"]+)"')


def can_trace():
    return STRACE and subprocess.run([STRACE, "-qq", "-o", "/dev/null", "true"], capture_output=True).returncode == 0


def own_addresses():
    """Addresses of this machine; a datagram socket learns the one that leads outside without sending anything."""
    found = {"127.0.0.1", "::1", "0.0.0.0", "::"}
    found |= {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None)}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            found.add(probe.getsockname()[0])
        except OSError:
            pass
    return found


def test_wandb_reports_no_errors_of_its_own_unless_asked_to(monkeypatch):
    assert _environment()["WANDB_ERROR_REPORTING"] == "false"
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "true")
    assert _environment()["WANDB_ERROR_REPORTING"] == "true"


@pytest.mark.slow
@pytest.mark.skipif(not can_trace(), reason="needs strace, and the right to trace: apt-get install strace")
def test_a_sweep_connects_to_no_other_machine(tmp_path):
    (tmp_path / "cells.yaml").write_text(
        f"# LSTM or GRU?\nexperiment: {ROOT}/conf/vowels_lstm.yaml\nspace: {{model.cell: {{grid: [lstm, gru]}}}}\n"
    )
    words = ["sweep", "cells.yaml", "experiment.trainer.max_epochs=1", "experiment.model.hidden_size=4"]
    done = subprocess.run(
        [STRACE, "-f", "-qq", "-s", "16", "-e", "trace=connect,close,sendto,sendmsg,sendmmsg", "-o", "trace",
         sys.executable, "-m", "lstm_lab", *words, "--wandb", "offline"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=HUNG,
        env={**os.environ, "LSTM_LAB_RUNS": str(tmp_path / "runs"), "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 W&B runs (offline), 0 unfinished" in done.stdout
    ours, foreign, connected = own_addresses(), {}, 0
    lines = (tmp_path / "trace").read_text(errors="replace").splitlines()
    for number, line in enumerate(lines):
        found = ADDRESS.search(line)
        if found is None:
            continue
        address = found[1] or found[2]
        connected += 1
        if address not in ours:
            foreign.setdefault(address, []).append((number, line))
    assert connected > 10, "the trace holds no connection of Ray's: it proves nothing"
    # Ray asks the kernel which of our addresses leads outside: a datagram socket is "connected", nothing is sent on it.
    assert set(foreign) <= {"8.8.8.8"}, foreign
    for number, line in foreign.get("8.8.8.8", []):
        pid, fd = re.match(r"(\d+) +connect\((\d+),", line).groups()
        for other in lines[number + 1 :]:
            if re.match(rf"{pid} +close\({fd}\)", other):
                break
            assert not re.match(rf"{pid} +send\w+\({fd},", other), other

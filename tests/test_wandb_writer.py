"""The W&B writer process by itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

from hung import HUNG


def test_temporary_files_of_a_killed_writer_are_removed_by_the_next(tmp_path):
    command, home = [sys.executable, "-m", "lstm_lab.tracking.writer"], tmp_path / f"lstm-lab-wandb-{os.getuid()}"
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True, start_new_session=True
    ) as first:
        message = {"command": "start", "folder": str(tmp_path), "monitor": None, "direction": None, "started": 0.0}
        first.stdin.write(json.dumps({**message, "afterwards": True, "project": "x", "mode": "offline"}) + "\n")
        first.stdin.flush()
        assert json.loads(first.stdout.readline())["error"] is None
        (held,) = home.iterdir()
        subprocess.run(command, input="", env=environment, text=True, check=True, timeout=HUNG)
        assert list(home.iterdir()) == [held]
        os.killpg(first.pid, signal.SIGKILL)
    subprocess.run(command, input="", env=environment, text=True, check=True, timeout=HUNG)
    assert not list(home.iterdir())
    assert not list(tmp_path.glob("tmp*"))

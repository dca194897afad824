"""The templates of sweeps/cluster run our command, as Slurm, Kubernetes and Ray read them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import typer
import yaml

from lstm_lab.__main__ import app

TEMPLATES = Path(__file__).parent.parent / "sweeps" / "cluster"


def check_command(words):
    """Parse a command line of ours with our own parser, without running it."""
    assert words[0] == "lstm-lab"
    verb = typer.main.get_command(app).commands[words[1]]
    verb.make_context(words[1], list(words[2:]))


def comments(path):
    return " ".join(line for line in path.read_text().splitlines() if line.startswith("#"))


def test_the_slurm_script_runs_our_command_on_every_node(tmp_path):
    """The script is executed, with stand-ins for Slurm and Ray that print their arguments."""
    script = TEMPLATES / "slurm.sh"
    subprocess.run(["bash", "-n", script], check=True)
    place = tmp_path / ".venv" / "bin"
    place.mkdir(parents=True)
    stand_ins = {
        "scontrol": "echo node1; echo node2",
        "srun": 'echo "$@" > said; echo "$RAY_AUTH_MODE $RAY_USAGE_STATS_ENABLED" >> said; '
        'stat -c %a "$RAY_AUTH_TOKEN_PATH" >> said; '
        'wc -c < "$RAY_AUTH_TOKEN_PATH" >> said; exit 4',
    }
    for name, body in stand_ins.items():
        (place / name).write_text(f"#!/bin/bash\n{body}\n")
        (place / name).chmod(0o755)
    (place / "python").symlink_to(sys.executable)
    slurm = {"SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "node[1-2]", "SLURM_JOB_NUM_NODES": "2",
             "SLURM_CPUS_PER_TASK": "8"}  # fmt: skip
    asked = {
        ("sweeps/vowels_cells.yaml", "--test"): "lstm-lab sweep sweeps/vowels_cells.yaml --test --address auto",
        ("--resume", "runs/vowels-1"): "lstm-lab resume runs/vowels-1 --address auto",
    }
    for words, ours in asked.items():
        environment = {**os.environ, **slurm, "LSTM_LAB_RUNS": str(tmp_path / "runs")}
        code = subprocess.run(["bash", script, *words], cwd=tmp_path, env=environment).returncode
        assert code == 4  # the sweep's own
        line, mode, rights, length = (tmp_path / "said").read_text().splitlines()
        start, _, command = line.partition(" -- ")
        assert command == ours
        check_command(command.split())
        assert "ray symmetric-run --address node1:20007 --min-nodes 2 --num-cpus=8 --num-gpus=0" in start
        assert (mode, rights, int(length)) == ("token 0", "600", 64)
        assert not list((tmp_path / "runs").glob(".token*"))
    # Ray would refuse what only a head may be told.
    assert not re.search(r"--(head|block|port|node-ip-address)\b", script.read_text())


def test_the_kubernetes_manifest_is_a_ray_job_of_ours():
    content = yaml.safe_load((TEMPLATES / "rayjob.yaml").read_text())
    assert (content["apiVersion"], content["kind"]) == ("ray.io/v1", "RayJob")
    check_command(content["spec"]["entrypoint"].split())
    assert Path(TEMPLATES.parent.parent, content["spec"]["entrypoint"].split()[2]).is_file()
    cluster = content["spec"]["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for group in groups:
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        assert container["image"] == "IMAGE"
        mounted, data = container["volumeMounts"]
        assert {"name": "LSTM_LAB_DATA", "value": data["mountPath"]} in container["env"]
        assert {"name": "RAY_USAGE_STATS_ENABLED", "value": "0"} in container["env"]
        assert {"name": "LSTM_LAB_RUNS", "value": mounted["mountPath"]} in container["env"]
        assert container["workingDir"] == "/app"
        assert [volume["name"] for volume in pod["volumes"]] == [mounted["name"], data["name"]]
        assert group["rayStartParams"] is not None
    for said in ("IMAGE", "lstm-lab-runs", "lstm-lab-data"):
        assert said in comments(TEMPLATES / "rayjob.yaml")


def test_the_image_is_of_this_checkout_with_its_conf_and_sweeps():
    lines = (TEMPLATES / "Dockerfile").read_text().splitlines()
    assert "WORKDIR /app" in lines
    copied = {word for line in lines if line.startswith("COPY") for word in line.split()[1:-1]}
    assert {"conf", "sweeps", "lstm_lab", "pyproject.toml", "setup.py", "constraints.txt"} <= copied
    assert all((TEMPLATES.parent.parent / name).exists() for name in copied)
    for name in ("Dockerfile", "ray.yaml", "rayjob.yaml"):
        text = (TEMPLATES / name).read_text()
        assert "install lstm-lab" not in text, f"{name}: lstm-lab is on no package index"


def test_the_ray_cluster_file_fits_rays_schema():
    import jsonschema
    import ray.autoscaler

    content = yaml.safe_load((TEMPLATES / "ray.yaml").read_text())
    schema = json.loads((Path(ray.autoscaler.__file__).parent / "ray-schema.json").read_text())
    jsonschema.validate(content, schema)
    for commands in (content["head_start_ray_commands"], content["worker_start_ray_commands"]):
        assert "RAY_AUTH_MODE=token" in commands[-1]
        assert "RAY_USAGE_STATS_ENABLED=0" in commands[-1]
        assert "LSTM_LAB_RUNS=/shared" in commands[-1]
    for said in ("HEAD-ADDRESS", "WORKER-ADDRESS", "USER", "/shared"):
        assert said in comments(TEMPLATES / "ray.yaml")
    check_command(comments(TEMPLATES / "ray.yaml").partition("on the head: ")[2].split(" # ")[0].split())

"""Damage done to the folder of a sweep of four trials, and what `lstm-lab resume` says of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

EPOCHS = 3


def cut(path, keep=0.6):
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])


def lines(path, change):
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))


def doubled(folder):
    lines(folder.path / "trials.jsonl", lambda rows: [*rows, rows[0], rows[2]])


def tune_state(folder):
    """What a killed driver of Ray Tune leaves: a scratch folder with its state cut short."""
    scratch = folder.path / "scratch-of-ray" / "tune" / "search"
    scratch.mkdir(parents=True)
    (scratch / "experiment_state-2026.json").write_text('{"trials": [{"conf')
    folder.describe(scratch=str(folder.path / "scratch-of-ray"))


def foreign(folder):
    (folder.path / "notes.txt").write_text("mine")
    (folder.path / "trials" / "old").mkdir()
    (folder.path / "trials" / ".DS_Store").write_bytes(b"\0\1")
    lines(folder.path / "trials.jsonl", lambda rows: [b'{"by": "hand"}\n', b"\xff\xfe\n", *rows])


def no_file(name):
    return lambda folder: (folder.path / name).unlink()


def torn(name, keep=0.6):
    return lambda folder: cut(folder.path / name, keep)


def empty(name):
    return lambda folder: (folder.path / name).write_bytes(b"")


def no_checkpoints(folder):
    for name in ("last", "previous"):
        cut(folder.path / f"trials/t0003/checkpoints/{name}.ckpt", 0.5)


def full(folder):
    folder.run("t0003").mark("failed", reason="OSError: [Errno 28] No space left on device")


def zeroed(name, size=512):
    """A block in the middle of a file that the disk has lost."""

    def do(folder):
        path = folder.path / name
        content = bytearray(path.read_bytes())
        middle = len(content) // 2
        content[middle : middle + size] = bytes(size)
        path.unlink()  # best.ckpt may be last.ckpt under another name.
        path.write_bytes(content)

    return do


def in_place_of(name, make):
    def do(folder):
        path = folder.path / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        make(path)

    return do


def nan(folder):
    path = folder.path / T / "metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps({**row, "val/loss": float("nan")}) + "\n" for row in rows))


T = "trials/t0001"
# Damage: what is done, how, what `lstm-lab resume` says, and the trials that are trained again, from which epoch.
DAMAGE = {
    "the row of the last trial is torn (killed while it was written)":
        (lambda f: lines(f.path / "trials.jsonl", lambda rows: [*rows[:-1], rows[-1][:20]]),
         "trials.jsonl: incomplete, doubled or missing rows; 4 trials are known", {}),
    "a row in the middle of trials.jsonl is torn":
        (lambda f: lines(f.path / "trials.jsonl", lambda rows: [rows[0], rows[1][:9] + b"\n", *rows[2:]]),
         "trials.jsonl: incomplete, doubled or missing rows; 4 trials are known", {}),
    "trials.jsonl is gone":
        (no_file("trials.jsonl"), "trials.jsonl: incomplete, doubled or missing rows; 4 trials", {}),
    "rows of trials.jsonl are doubled": (doubled, "trials.jsonl: incomplete, doubled or missing rows; 4 trials", {}),
    "foreign files, and foreign rows in the record":
        (foreign, "trials.jsonl: incomplete, doubled or missing rows; 4 trials", {}),
    "about.json is torn": (torn("about.json"), "about.json: incomplete or missing; written again", {}),
    "sweep.yaml is gone":
        (no_file("sweep.yaml"), "sweep.yaml: incomplete or missing; written again from about.json", {}),
    "sweep.yaml is empty":
        (empty("sweep.yaml"), "sweep.yaml: incomplete or missing; written again from about.json", {}),
    "the state of Ray Tune is torn": (tune_state, "", {}),
    "the resolved experiment of a trial is gone":
        (no_file(f"{T}/experiment.yaml"), f"{T}/experiment.yaml: incomplete or missing; written again", {}),
    "run.json of a finished trial is torn":
        (torn(f"{T}/run.json"), f"{T}/run.json: incomplete or missing; written again, and its training continues",
         {"t0001": EPOCHS}),
    "status.json of a finished trial is empty":
        (empty(f"{T}/status.json"), f"{T}/status.json: incomplete; its training continues", {"t0001": EPOCHS}),
    "rows of a trial's metrics are doubled and foreign":
        (lambda f: lines(f.path / T / "metrics.jsonl", lambda rows: [*rows, rows[1], b'{"epoch": 7}\n', b"{"]),
         f"{T}/metrics.jsonl: incomplete, doubled or foreign rows; 3 epochs are complete", {}),
    "the newest checkpoint of a killed trial is torn":
        (torn("trials/t0003/checkpoints/last.ckpt"), "trials/t0003/checkpoints/last.ckpt: incomplete or not ours",
         {"t0003": 2}),
    "both checkpoints of a killed trial are torn": (no_checkpoints,
         "trials/t0003/checkpoints/previous.ckpt: incomplete or not ours (Bad",
         {"t0003": 0}),
    "the best checkpoint of a finished trial is torn":
        (torn(f"{T}/checkpoints/best.ckpt"), f"{T}/checkpoints/best.ckpt: incomplete or not ours (BadZipFile); it is",
         {"t0001": 0}),
    "a block of the best checkpoint of a finished trial is zero":
        (zeroed(f"{T}/checkpoints/best.ckpt"), f"{T}/checkpoints/best.ckpt: damaged: the checksum of its record",
         {"t0001": 0}),
    "the metrics of a finished trial are gone":
        (no_file(f"{T}/metrics.jsonl"), f"{T}/metrics.jsonl: 3 of 3 epochs are missing; it is trained again",
         {"t0001": 0}),
    "the metrics of a finished trial are empty":
        (empty(f"{T}/metrics.jsonl"), f"{T}/metrics.jsonl: 3 of 3 epochs are missing; it is trained again",
         {"t0001": 0}),
    "the metrics of a finished trial are a folder":
        (in_place_of(f"{T}/metrics.jsonl", Path.mkdir), f"{T}/metrics.jsonl: is no file; renamed to metrics.jsonl.dam",
         {"t0001": 0}),
    "the metrics of a finished trial are NaN": (nan, f"{T}/metrics.jsonl: the best epoch, 2, does not have the value",
         {"t0001": 0}),
    "the metrics of a killed trial are gone": (no_file("trials/t0003/metrics.jsonl"),
         "trials/t0003/metrics.jsonl: lacks 2 of the 2 epochs in",
         {"t0003": 0}),
    "a block of the newest checkpoint of a killed trial is zero":
        (zeroed("trials/t0003/checkpoints/last.ckpt"), "trials/t0003/checkpoints/last.ckpt: damaged: the checksum of",
         {"t0003": 2}),
    "the folder of a finished trial is a file":
        (in_place_of(T, Path.touch), f"{T}: is no folder; renamed to t0001.damaged-1", {"t0001": 0}),
    "the folder of a finished trial is a link to itself":
        (in_place_of(T, lambda path: path.symlink_to(path)), f"{T}: is no folder; renamed to t0001.damaged-1",
         {"t0001": 0}),
    "trials/ is gone":
        (lambda f: shutil.rmtree(f.path / "trials"), "", dict.fromkeys(["t0000", "t0001", "t0002", "t0003"], 0)),
    "trials/ is a file":
        (in_place_of("trials", Path.touch), "trials: is no folder; renamed to trials.damaged-1",
         dict.fromkeys(["t0000", "t0001", "t0002", "t0003"], 0)),
    "the disk was full":
        (full, "trials/t0003/status.json: failed because the disk was full; its training continues", {"t0003": 2}),
}  # fmt: skip

REFUSED = {
    "sweep.yaml asks another question now":
        (lambda f: (f.path / "sweep.yaml").write_text((f.path / "sweep.yaml").read_text().replace("0.03", "0.3")),
         "space was changed since the sweep started, and its trials would not be comparable"),
    "sweep.yaml and about.json are both gone":
        (lambda f: [(f.path / name).unlink() for name in ("sweep.yaml", "about.json")],
         "not a sweep: there is no sweep.yaml in it"),
}  # fmt: skip

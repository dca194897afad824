"""The program in an exported folder: it predicts what the run predicts, with numpy and onnxruntime alone."""

from __future__ import annotations

import csv
import importlib.util
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import lstm_lab

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("safetensors")

QUIET = {"wandb": "disabled", "progress": False}
SMALL = {"model": {"hidden_size": 3}, "trainer": {"max_epochs": 1, "patience": None}}


def sequences(path: Path) -> dict:
    rng, lines = np.random.default_rng(0), ["id,a,b,label"]
    for i in range(24):
        lines += [f"P{i},{a:.3f},{b:.3f},{'uv'[i % 2]}" for a, b in rng.normal(i % 2, 1, (4 + i % 3, 2))]
    path.write_text("\n".join(lines) + "\n")
    return {"data": {"name": "csv_sequences", "path": str(path), "id": "id", "channels": ["a", "b"], "label": "label"}}


def tags(path: Path) -> dict:
    content = sequences(path)
    content["data"]["target"] = "tag"
    return {**content, "task": "tag"}


def values(path: Path) -> dict:
    content = sequences(path)
    path.write_text(path.read_text().replace(",u", ",1.5").replace(",v", ",7"))
    content["data"]["target"] = "value"
    return {**content, "task": "regress"}


def series(path: Path) -> dict:
    rng = np.random.default_rng(0)
    rows = [f"2024-01-{1 + i // 24:02d} {i % 24:02d}:00:00,{x:.2f}" for i, x in enumerate(rng.normal(50, 9, 480))]
    path.write_text("time,load\n" + "\n".join(rows) + "\n")
    data = {"name": "csv", "path": str(path), "time": "time", "targets": ["load"], "window": 24, "horizon": 4}
    return {"data": data, "task": {"name": "forecast", "conformal": True}}


def texts(path: Path) -> dict:
    words = ["good warm bright kind", "bad cold dark cruel"]
    lines = [f"the {words[i % 2].split()[i % 4]} day number {i % 7},{'pn'[i % 2]}" for i in range(40)]
    path.write_text("text,label\n" + "\n".join(lines) + "\n")
    return {"data": {"name": "csv_text", "path": str(path), "max_length": 4}, "task": "classify"}


def exported(tmp_path, make, **task):
    content = {"task": "classify", **make(tmp_path / "new.csv")}
    content["task"] = {**({"name": content["task"]} if isinstance(content["task"], str) else content["task"]), **task}
    run = lstm_lab.train({**content, **SMALL}, name="r", **QUIET)
    run.evaluate("validation")
    run.export("folder", tmp_path / "out")
    return run, tmp_path / "out"


def check_same(found: list[list[str]], run, path: Path) -> None:
    wanted = run.predict(str(path))
    assert found[0] == list(wanted.columns)
    assert len(found) == len(wanted) + 1
    for k, name in enumerate(wanted.columns):
        column = [row[k] for row in found[1:]]
        if wanted[name].dtype.kind == "f":
            np.testing.assert_allclose(np.array(column, float), wanted[name], rtol=1e-5, atol=1e-5)
        else:
            assert column == [*map(str, wanted[name])]


def program(folder: Path):
    spec = importlib.util.spec_from_file_location("exported_predict", folder / "predict.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_predicts_sequences_as_the_run_does(tmp_path):
    run, folder = exported(tmp_path, sequences, conformal=True)
    module = program(folder)
    model = module.ExportedModel(folder)
    header, rows = model.predict_file(tmp_path / "new.csv")
    check_same([header, *([str(cell) for cell in row] for row in rows)], run, tmp_path / "new.csv")
    assert header[-1] == "set 90%"
    arrays = [np.ones((3, 2)), np.zeros((5, 2))]
    np.testing.assert_allclose(model.predict(arrays)[1], model.predict(arrays[1:])[0], atol=1e-6)
    faults = {
        "id,a\n1,2\n": "has no column 'b': its header is id, a",
        "id,a,b\n1,2\n": "line 2: has 2 fields, but the header 3",
        "id,a,b\n1,2,x\n": "line 2, column 'b': 'x' is not a number",
        "id,a,b\n1,,3\n": "line 2, column 'a': the cell is empty",
        "id,a,b\n": "has no rows",
    }
    for text, said in faults.items():
        (tmp_path / "bad.csv").write_text(text)
        with pytest.raises(module.BadData, match=said):
            model.predict_file(tmp_path / "bad.csv")
    model.facts["reader"] = {"refused": "data 'vowels' has no reader in the exported folder"}
    with pytest.raises(module.Refused, match=r"has no reader in the exported folder: use lstm-lab predict, or"):
        model.predict_file(tmp_path / "new.csv")


def test_times_that_it_cannot_continue_are_refused():
    from lstm_lab.deploy import runtime as module

    assert module.next_times(Path("f"), ["1", "3", "5"], 2) == [7, 9]
    for cells, said in {
        ("2024-01-01", "2024-02-01", "2024-03-01"): "its times are not at one step",
        ("2024-01-01T00:00+01:00", "2024-01-02T00:00+01:00"): "has an offset",
        ("Monday", "Tuesday"): "neither an ISO date nor a whole number",
    }.items():
        with pytest.raises(module.BadData, match=said):
            module.next_times(Path("f"), cells, 2)


@pytest.mark.slow
@pytest.mark.parametrize("make", [sequences, tags, values, series, texts])
def test_the_folder_needs_neither_torch_nor_this_package(tmp_path, make):
    run, folder = exported(tmp_path, make)
    site = tmp_path / "site"
    site.mkdir()
    for package in ("numpy", "onnxruntime", "tokenizers"):
        place = Path(importlib.util.find_spec(package).origin).parent
        for each in (place, place.with_name(f"{package}.libs")):
            if each.is_dir():
                (site / each.name).symlink_to(each)
    start = (
        "import runpy, sys; del sys.argv[0]; sys.path.insert(0, sys.argv.pop(0)); "
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    words = [sys.executable, "-I", "-S", "-c", start, site]

    def call(*more):
        done = subprocess.run([*map(str, (*words, *more))], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    code, out, err = call(folder / "predict.py", tmp_path / "new.csv")
    assert (code, err) == (0, "")
    check_same([*csv.reader(io.StringIO(out))], run, tmp_path / "new.csv")
    code, out, err = call(folder / "predict.py", tmp_path / "none.csv")
    assert (code, out, err) == (3, "", f"predict.py: {tmp_path / 'none.csv'}: No such file or directory\n")
    assert call(folder / "predict.py")[::2] == (2, "predict.py: usage: python predict.py FILE\n")

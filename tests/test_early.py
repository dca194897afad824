"""The command line before torch is imported: what it lists, what it refuses, and one exit code for one fault."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lstm_lab import config
from lstm_lab.config import ConfigError
from lstm_lab.experiment import Experiment, load_experiment
from lstm_lab.sweeps.spec import load_sweep
from lstm_lab.verbs import early, known_fields

ROOT = Path(__file__).parent.parent


def fresh(words, cwd):
    """Exit code and standard error of a command in a process of its own, and whether it imported torch."""
    script = (
        "import sys; sys.argv = ['lstm-lab', *sys.argv[1:]]\n"
        "import lstm_lab.__main__ as cli\n"
        "try: cli.main()\n"
        "finally: print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script, *words], cwd=cwd, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr, done.stdout.strip().splitlines()[-1] == "True"


# --- one fault, one exit code -----------------------------------------------------------------------------------------

ON_A_FOLDER = {
    "evaluate": ["evaluate", "F"],
    "predict": ["predict", "F", "new.csv"],
    "resume": ["resume", "F"],
    "report": ["report", "F"],
    "report to W&B": ["report", "F", "--to", "wandb"],
    "compare": ["compare", "F"],
    "sync": ["sync", "F"],
    "tui": ["tui", "F"],
    "watch": ["watch", "F"],
    "train --resume": ["train", "--resume", "F"],
}


@pytest.mark.parametrize("where", ["absent", "."])
@pytest.mark.parametrize("verb", ON_A_FOLDER)
def test_a_folder_that_is_no_record_ends_every_command_alike(lab, tmp_path, verb, where):
    before = sorted(tmp_path.rglob("*"))
    code, out, err = lab(*(where if word == "F" else word for word in ON_A_FOLDER[verb]))
    assert (code, out) == (2, "")
    assert len(err.strip().splitlines()) == 1
    assert f"{where}: n" in err  # "neither a run nor a sweep", or "not a run" where only that will do.
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("verb", ["evaluate", "predict", "report", "compare", "train --resume"])
def test_a_torn_record_ends_every_command_alike(lab, tmp_path, verb):
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").write_text('{"id": "ru')
    (run / "experiment.yaml").write_text("data: [")
    (run / "status.json").write_text("{")
    code, _, err = lab(*("run" if word == "F" else word for word in ON_A_FOLDER[verb]))
    assert code == 3, err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize("verb", ["evaluate", "predict", "report", "compare", "watch"])
def test_a_torn_sweep_ends_every_command_alike(lab, tmp_path, verb):
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "sweep.yaml").write_text("space: [")
    code, _, err = lab(*("sweep" if word == "F" else word for word in ON_A_FOLDER[verb]))
    assert code == 3, err
    assert len(err.strip().splitlines()) == 1


# --- before torch -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache of the fields, as any first command leaves it."""
    folder = tmp_path_factory.mktemp("cache")
    words = [sys.executable, "-m", "lstm_lab", "list", "--json"]
    env = {**os.environ, "LSTM_LAB_CACHE": str(folder)}
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=env)
    assert json.loads(done.stdout)["cell"]["lstm"]
    return folder


REFUSED = {
    "a file": (["train", "conf/vowels_lstmm.yaml"], "did you mean 'conf/vowels_lstm.yaml'?"),
    "a key": (["train", "conf/vowels_lstm.yaml", "model.hiden_size=8"],
              "override 'model.hiden_size=8': model.hiden_size: no such field in SequenceModel; did you mean "
              "'hidden_size'?"),
    "a section": (["train", "conf/vowels_lstm.yaml", "modle.hidden_size=8"], "did you mean 'model'?"),
    "an option of a cell": (["train", "conf/vowels_lstm.yaml", "model.cell.forget_bais=1"], "mean 'forget_bias'"),
    "a key of another section": (["train", "conf/vowels_lstm.yaml", "lr=1"], "did you mean 'optimizer.lr' of adam?"),
    "an override without =": (["train", "conf/vowels_lstm.yaml", "fast"], "must be key=value"),
    "a sweep file": (["sweep", "sweeps/vowels_celsl.yaml"], "did you mean 'sweeps/vowels_cells.yaml'?"),
    "a key of a sweep": (["sweep", "sweeps/vowels_cells.yaml", "num_smaples=8"], "did you mean 'num_samples'?"),
    "a section of a sweep's experiment": (["sweep", "sweeps/vowels_cells.yaml", "data.bach_size=8"],
                                          "did you mean 'batch_size'?"),
    "what is no domain": (["sweep", "sweeps/vowels_cells.yaml", "space.model.num_layers=2"], "must be one domain"),
    "a key of a search space": (["sweep", "sweeps/vowels_cells.yaml", "space.model.hiden_size={choice: [8, 16]}"],
                                "did you mean 'hidden_size'?"),
    "no record": (["evaluate", "runs/absent"], "neither a run nor a sweep"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_a_typo_is_refused_without_torch(cache, monkeypatch, what):
    monkeypatch.setenv("LSTM_LAB_CACHE", str(cache))
    words, said = REFUSED[what]
    code, err, has_torch = fresh(words, ROOT)
    assert (code, has_torch) == (2, False), err
    assert said in err


def test_what_is_refused_early_is_what_validation_refuses(monkeypatch):
    found = known_fields.known()
    monkeypatch.setattr(early, "is_imported", lambda: False)
    monkeypatch.setattr(early, "known", lambda: found)
    for path in sorted((ROOT / "conf").glob("*.yaml")):
        early.check_experiment(str(path), ["model.cell=gru", "model.cell.name=lstm", "optimizer={name: sgd}"])
    for path in sorted((ROOT / "sweeps").glob("*.yaml")):
        early.check_sweep(str(path), ["num_samples=1", "experiment.trainer.max_epochs=1", "trainer.max_epochs=1"])
    conf = str(ROOT / "conf" / "vowels_lstm.yaml")
    for pair in ("model.hiden_size=8", "trainer.epochs=1", "modle=1", "model.dropout.outptu=1", "model.no.such.key=1"):
        with pytest.raises(ConfigError) as before:
            early.check_experiment(conf, [pair])
        with pytest.raises(ConfigError) as after:
            load_experiment(conf, [pair])
        assert str(before.value).partition(";")[0] == str(after.value).partition(";")[0]
    sweep = str(ROOT / "sweeps" / "vowels_cells.yaml")
    for pair in ("space.model.num_layers=2", "space.optimizer.lr={choice: []}", "space=1"):
        with pytest.raises(ConfigError) as before:
            early.check_sweep(sweep, [pair])
        with pytest.raises(ConfigError) as after:
            load_sweep(sweep, [pair])
        assert str(before.value) == str(after.value)
    early.check_experiment(conf, ["model.depth=2"])  # An older name has a message of its own.


def test_a_cache_that_is_torn_or_of_other_code_is_not_used(tmp_path, cache):
    (file,) = cache.glob("fields-*.json")
    assert f"fields-{known_fields._fingerprint()}.json" == file.name
    rows = json.loads(file.read_text())
    assert rows["kinds"] == known_fields.known().kinds
    assert [known_fields.Field(**row) for row in rows["experiment"]] == known_fields.known().experiment


def test_sections_are_short_and_complete(lab):
    code, out, err = lab("fields")
    assert (code, err) == (0, "")
    assert len(out.splitlines()) < 44
    for section in Experiment.model_fields:
        assert section in out
        code, page, err = lab("fields", section)
        assert (code, err) == (0, "")
        assert len(page.splitlines()) < 100, section
    for section, words in {
        "data.csv": ("data.targets", "tuple[str, ...]"),
        "lstm": ("model.cell.forget_bias",),
        "model.cell": ("peephole", "forget_bias"),
        "searcher": ("optuna", "searcher.sampler"),
        "gru": ("has no fields",),
    }.items():
        out = lab("fields", section)[1]
        assert all(word in out for word in words), out
    assert json.loads(lab("fields", "trainer", "--json")[1])[0]["path"] == "trainer.max_epochs"
    code, _, err = lab("fields", "dat.csv")
    assert code == 2
    assert "did you mean 'data.csv'?" in err


def test_a_shell_completes_keys_and_names(cache, monkeypatch):
    monkeypatch.setenv("LSTM_LAB_CACHE", str(cache))
    words = ["train", "conf/vowels_lstm.yaml"]
    for typed, offered in (("model.hidd", "model.hidden_size="), ("model.cell=pee", "model.cell=peephole")):
        env = {**os.environ, "_LSTM_LAB_COMPLETE": "complete_fish", "_TYPER_COMPLETE_FISH_ACTION": "get-args",
               "_TYPER_COMPLETE_ARGS": " ".join(["lstm-lab", *words, typed])}  # fmt: skip
        script = "import sys; sys.argv = ['lstm-lab']; import lstm_lab.__main__ as cli; cli.main()"
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False, env=env
        )
        assert offered in done.stdout.split(), done.stdout + done.stderr


# --- options of every command -----------------------------------------------------------------------------------------


def test_version_and_short_help(lab):
    assert lab("--version")[:2] == (0, "lstm-lab 0.1.0\n")
    for words in (["-h"], ["train", "-h"], ["data", "inspect", "-h"]):
        code, out, _ = lab(*words)
        assert code == 0
        assert "Usage" in out


@pytest.mark.parametrize("place", [0, 1, 2])
def test_debug_adds_the_traceback(lab, place):
    words = ["evaluate", "absent"]
    plain = lab(*words)[2]
    words.insert(place, "--debug")
    code, _, err = lab(*words)
    assert code == 2
    assert "Traceback" in err
    assert err.endswith(plain)


# --- overrides of a sweep ---------------------------------------------------------------------------------------------


def test_overrides_after_a_sweep_file_reach_its_experiment(tmp_path, vowels):
    path = tmp_path / "s.yaml"
    content = {"experiment": vowels.dump(), "space": {"optimizer.lr": {"grid": [0.01, 0.02]}}}
    path.write_text(f"# Which rate?\n{config.to_yaml(content)}")
    for prefix in ("", "experiment."):
        sweep = load_sweep(path, [f"{prefix}data.batch_size=7", f"{prefix}trainer.max_epochs=3", "timeout=9.0"])
        assert (sweep.base.data.batch_size, sweep.base.trainer.max_epochs, sweep.timeout) == (7, 3, 9.0)
    assert load_sweep(path, ["seed=5"]).seed == 5
    assert load_sweep(path, ["experiment.seed=5"]).base.seed == 5
    with pytest.raises(ConfigError, match=r"override 'data.bath_size=7': data.bath_size: no such field"):
        load_sweep(path, ["data.bath_size=7"])

"""Folders from others are data: nothing outside of them is written or removed because a record says so."""

from __future__ import annotations

import os

import pytest
from pyarrow import fs

from lstm_lab import config
from lstm_lab.__main__ import app
from lstm_lab.config import ConfigError, DataError
from lstm_lab.evaluation.evaluate import evaluate
from lstm_lab.records import files, links
from lstm_lab.records.lineage import hyperparameter_history
from lstm_lab.records.run import Run
from lstm_lab.report import write_report
from lstm_lab.sweeps.sections import Repeat
from lstm_lab.sweeps.spec import Sweep
from lstm_lab.sweeps.store import summary
from lstm_lab.sweeps.store.folder import SweepFolder
from lstm_lab.sweeps.store.record import read_sweep
from lstm_lab.sweeps.store.remote import Storage, node_folder, trial_storage
from lstm_lab.sweeps.store.repair import repair
from lstm_lab.tracking.tracker import Tracker, wandb_id
from lstm_lab.workflow import run_sweep


@pytest.fixture
def victim(tmp_path):
    """A folder that is no business of the record."""
    folder = tmp_path / "home"
    (folder / "checkpoints").mkdir(parents=True)
    for name in (".bashrc", "checkpoints/best.ckpt", "checkpoints/last.ckpt", "lock", "metrics.jsonl"):
        (folder / name).write_text("precious\n")
    return folder


def content(folder):
    return {path.relative_to(folder): path.is_file() and path.read_text() for path in folder.rglob("*")}


@pytest.fixture
def foreign(tmp_path, vowels, victim):
    """A sweep with one trial, from somebody else."""
    sweep = Sweep.model_validate(
        {"title": "t", "experiment": vowels.dump(), "space": {"optimizer.lr": {"grid": [0.01]}}}
    )
    folder = SweepFolder.create(tmp_path / "foreign", sweep, command="lstm-lab sweep s.yaml")
    folder.add_trial(0, Repeat(0), {"optimizer.lr": 0.01})
    before = content(victim)
    yield folder
    assert content(victim) == before


def trial_named(folder, name):
    row = {"trial": name, "configuration": 0, "seed": 0, "overrides": {"optimizer.lr": 0.01}}
    files.write_jsonl(folder.path / files.TRIALS, [row])
    return SweepFolder(folder.path)


# --- places in about.json ---------------------------------------------------------------------------------------------


def test_a_recorded_storage_is_used_only_if_the_user_names_it(foreign, victim, capsys):
    place = f"file://{victim}/sweep"
    foreign.describe(storage=place)
    with pytest.raises(ConfigError, match=r"a record is not obeyed in that: .*--storage"):
        app(["resume", str(foreign.path)], standalone_mode=False)
    with pytest.raises(ConfigError, match="are stored below"):
        app(["resume", str(foreign.path), "--storage", f"file://{victim}"[:-1]], standalone_mode=False)
    with pytest.raises(ConfigError, match="a record is not obeyed"):
        run_sweep(foreign)
    for named in (place, f"{place}/", f"file://{victim}", f"file://{victim}/"):
        assert trial_storage(foreign, named) == place


def test_a_sweep_without_storage_takes_none(foreign):
    assert trial_storage(foreign, None) is None
    with pytest.raises(ConfigError, match="in its own folder; leave it out"):
        run_sweep(foreign, storage="file:///anywhere")


def test_a_recorded_scratch_folder_is_left_alone(foreign, victim, monkeypatch):
    from lstm_lab.sweeps.execution import ray_cluster

    foreign.describe(scratch=str(victim))
    monkeypatch.setattr(ray_cluster, "start_local", lambda: pytest.fail("stop here"))
    with pytest.raises(pytest.fail.Exception, match="stop here"), ray_cluster.cluster(foreign):
        pass


# --- names of trials --------------------------------------------------------------------------------------------------

NAMES = [
    "../../home",
    "/etc",
    "..",
    ".",
    "",
    "t0000/../../../home",
    "t0000\n",
    "t",
    "tx",
    "t0000\0",
    "t१",
    None,
    3,
    ["t0"],
]


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_a_trial_whose_name_leads_elsewhere_is_no_trial(name, foreign):
    folder = trial_named(foreign, name)
    assert folder.trials() == read_sweep(folder.path).trials == []
    with pytest.raises(DataError, match=r"has a trial named .*: correct it"):
        folder.run(name)
    repair(folder.path)
    assert [trial.id for trial in SweepFolder(folder.path).trials()] == ["t0000"]  # Of its own trial.json.
    write_report(folder.path)


def test_a_winner_and_a_copy_of_a_row_lead_nowhere_else_either(foreign):
    files.write_json(foreign.path / files.SUMMARY, {"winner": {"trial": "../../home"}, "trials": {"total": 1}})
    with pytest.raises(DataError):
        summary.evaluate_best(foreign)
    row = {"trial": "../../home", "configuration": 0, "seed": 0, "overrides": {}}
    files.write_json(foreign.run("t0000").path / files.TRIAL, row)
    repair(foreign.path)
    assert [trial.id for trial in foreign.trials()] == ["t0000"]


def test_a_source_in_a_lineage_is_a_trial_beside_it(foreign):
    run = foreign.run("t0000")
    row = {"trial": "t0000", "source": "../../../home", "at": "2024", "overrides": {}, "from_epoch": 1, "changes": {}}
    files.write_jsonl(run.path / files.LINEAGE, [row])
    with pytest.raises(DataError, match="its lineage names a trial"):
        hyperparameter_history(run)


def test_a_population_record_names_trials_of_its_own(foreign):
    from lstm_lab.sweeps.execution.population import Population
    from lstm_lab.sweeps.schedulers.pbt import PBT

    files.write_jsonl(
        foreign.path / files.POPULATION, [{"trial": "../../home", "epochs": 1, "score": 0.1, "gain": None}]
    )
    assert not Population(foreign, PBT(2, 0.5, 0.25)).scores


def test_the_id_of_a_wandb_run_makes_no_path(tmp_path, vowels):
    run = Run.create(tmp_path / "r", vowels.dump(), wandb={"id": "../../home"})
    assert ".." not in wandb_id(run, None)
    run.describe(wandb={"id": "abc-run.1"})
    assert wandb_id(run, None) == "abc-run.1"


# --- links ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path, vowels, victim):
    """A run from somebody else, without links so far."""
    run = Run.create(tmp_path / "run", vowels.dump(), job_type="train")
    run.mark("interrupted")
    before = content(victim)
    yield run
    assert content(victim) == before


USES = {
    "train": lambda run: app(["train", "--resume", str(run.path)], standalone_mode=False),
    "resume": lambda run: app(["resume", str(run.path)], standalone_mode=False),
    "evaluate": lambda run: evaluate(run),
    "report": lambda run: write_report(run.path),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("name", ["metrics.jsonl", "tests.jsonl", "checkpoints", "wandb", "checkpoints/.new.ckpt", "x"])
def test_a_run_is_not_written_through_a_link(name, use, run, victim):
    link = run.path / name
    if link.is_dir():
        link.rmdir()
    link.symlink_to(victim / link.name if (victim / link.name).exists() else victim)
    with pytest.raises(ConfigError, match=r"is a symbolic link to .*: nothing is written through it"):
        USES[use](run)


def test_a_sweep_is_not_written_through_a_link(foreign, victim):
    link = foreign.path / "trials" / "t0001"
    link.symlink_to(victim)
    for use in (lambda: repair(foreign.path), lambda: run_sweep(foreign), lambda: write_report(foreign.path)):
        with pytest.raises(ConfigError, match="nothing is written through it"):
            use()
    with pytest.raises(ConfigError, match="nothing is written through it"):
        app(["resume", str(foreign.path)], standalone_mode=False)


def test_a_link_to_nothing_yet_makes_no_file(run, tmp_path):
    (run.path / "lock").symlink_to(tmp_path / "home" / "new")
    run_file = run.path / files.STATUS
    files.write_json(run_file, {"state": "running"})
    assert not run.is_locked()
    with pytest.raises(ConfigError, match="is a symbolic link"), run.lock():
        pass
    assert not (tmp_path / "home" / "new").exists()


def test_links_in_the_folder_of_wandb_are_removed_and_not_followed(run, victim):
    folder = run.path / "wandb"
    folder.mkdir()
    for name in ("latest-run", "offline-run-1", "debug.log"):
        (folder / name).symlink_to(victim)
    Tracker(run, mode="offline").finish("interrupted")
    assert not any(path.is_symlink() and path.resolve() == victim for path in folder.iterdir())


def test_the_temporary_file_of_a_write_is_no_link(run, victim):
    (run.path / f".run.json.{os.getpid()}").symlink_to(victim / ".bashrc")
    files.write_json(run.path / files.RUN, {"a": 1})
    assert not (run.path / files.RUN).is_symlink()


def test_links_that_stay_inside_and_other_entries(run):
    (run.path / "wandb").mkdir()
    (run.path / "wandb" / "latest-run").symlink_to("run-1")
    (run.path / "wandb" / "debug-core.log").symlink_to(run.path.parent / "log of W&B")
    (run.path / "loop").symlink_to("loop")
    (run.path / "best").symlink_to(run.path / "checkpoints")
    links.check_links(run.path)
    (run.path.parent / "mine").symlink_to(run.path)
    links.check_links(run.path.parent / "mine")
    os.mkfifo(run.path / files.METRICS)
    with pytest.raises(ConfigError, match="is neither a file nor a folder"):
        links.check_links(run.path)


# --- storage and nodes ------------------------------------------------------------------------------------------------


def test_a_name_in_the_storage_stays_below_the_folder(tmp_path):
    class Bucket(fs.LocalFileSystem):
        """Object stores have names, and no folders."""

        def get_file_info(self, selector):
            return [fs.FileInfo(f"{tmp_path}/bucket/trials/../../home/.bashrc", fs.FileType.File)]

    storage = Storage(f"file://{tmp_path}/bucket")
    storage.filesystem = Bucket()
    with pytest.raises(DataError, match="leads out of"):
        storage.pull("trials", tmp_path / "here" / "trials")
    assert not list(tmp_path.rglob(".bashrc"))


def test_the_folder_of_a_node_is_private(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = node_folder("s3://a b")
    assert folder == node_folder("s3://a b") != node_folder("s3://a c")
    assert folder.parent.stat().st_mode & 0o777 == 0o700
    folder.parent.rmdir()
    (tmp_path / "elsewhere").mkdir()
    folder.parent.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="only this user can enter"):
        node_folder("s3://a b")
    folder.parent.unlink()
    folder.parent.mkdir(mode=0o777)
    folder.parent.chmod(0o777)
    with pytest.raises(ConfigError, match="only this user can enter"):
        node_folder("s3://a b")


def test_a_title_of_two_lines_is_one_comment(foreign):
    sweep = foreign.sweep.model_copy(update={"title": "a\nseed: 9\x1b[2J"})
    (won,) = foreign.trials()
    (best,) = foreign.leaderboard()
    summary.write_best(foreign, sweep, best, won)
    text = (foreign.path / files.BEST_EXPERIMENT).read_text()
    assert text.startswith("# a seed: 9\\x1b[2J\n# Trial t0000")
    assert config.load(foreign.path / files.BEST_EXPERIMENT)["seed"] == 0

"""Uses every example of docs/extending.md, in a process whose package holds them; started by test_extending.py."""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path

import torch
from sweeping import run_trials

import lstm_lab as lab
import lstm_lab.__main__ as cli
from lstm_lab.cells import Cell
from lstm_lab.report import fmt
from lstm_lab.sweeps.store import summary
from lstm_lab.sweeps.store.folder import SweepFolder

QUIET = {"wandb": "disabled", "progress": False}
TINY = {"max_epochs": 2, "patience": None}


def command(*words):
    """Exit code and standard output of a verb."""
    sys.argv, out = ["lstm-lab", *words], io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
            cli.main()
    except SystemExit as ended:
        return ended.code, out.getvalue()


def all_are_listed(names):
    code, out = command("list")
    assert code == 0
    assert not [name for name in names if f"\n  {name} " not in out], out


def verb():
    assert "Count the parameters" in command("--help")[1]
    Path("x.yaml").write_text("data: waves\ntask: classify\nmodel: {cell: leaky, hidden_size: 6}\n")
    assert command("count", "x.yaml") == (0, "75\n")
    assert command("count", "x.yaml", "model.cell.leek=1")[0] == 2


def cell_data_optimizer_and_schedule():
    experiment = lab.Experiment(
        data="waves", task="classify", model={"cell": {"name": "leaky", "leak": 0.5}, "hidden_size": 6},
        optimizer={"name": "adadelta", "lr": 0.02}, schedule="inverse_root", trainer=TINY,
        regularizers=[{"name": "sparse_activity", "alpha": 0.1}],
    )  # fmt: skip
    run = lab.train(experiment, **QUIET)
    assert run.metrics["lr"].is_monotonic_decreasing
    assert run.metrics["train/loss"].iloc[1] < run.metrics["train/loss"].iloc[0]
    assert {"majority class", "logistic regression"} <= set(run.evaluate("validation").baselines)
    assert isinstance(run.learner().configure_optimizers(), torch.optim.Adadelta)
    learner = run.learner()
    batch = run.datamodule().dataset.train.take(torch.arange(4))
    output = learner(batch)
    penalty = learner.step.loss(output, batch)[0] - learner.task.loss(output.logits, batch)
    h, steps = output.encoded.outputs, output.encoded.lengths
    torch.testing.assert_close(penalty, 0.1 * (h.abs().sum((1, 2)) / (steps * h.shape[2])).mean())
    cell, x = Cell.members["leaky"](3, 4), torch.randn(2, 5, 3)
    state, steps = cell.initial_state(x), []
    for t in range(5):
        h, state = cell.step(x[:, t], state)
        steps.append(h)
    torch.testing.assert_close(cell(x, torch.tensor([5, 5]))[0], torch.stack(steps, 1))
    return run


def section(run):
    text = run.report("markdown").read_text()
    assert "## Gradients" in text
    assert f"- largest norm: {fmt.number(run.metrics['train/grad_norm'].max())}" in text


def task():
    data = {"name": "adding", "length": 6, "train_size": 100, "eval_size": 20}
    experiment = lab.Experiment(
        data=data, task={"name": "robust_regress", "width": 0.1}, model={"hidden_size": 4}, trainer=TINY
    )
    best = lab.train(experiment, **QUIET).best
    assert best["val/loss"] < 0.5 * best["val/mse"]


def searcher_and_scheduler(experiment):
    """Without Ray: the fourth configuration is near the best of the first three."""
    sweep = lab.Sweep(
        title="Which rate?", experiment=experiment, space={"optimizer.lr": {"loguniform": [1e-4, 1e-1]}},
        num_samples=4, searcher="local", scheduler={"name": "threshold", "limit": 0.9, "grace_period": 1},
    )  # fmt: skip
    folder = SweepFolder.create(Path("sweep"), sweep, command="")
    run_trials(folder)
    summary.write(folder, "disabled")
    trials = lab.load_sweep("sweep").trials
    best = trials["val/accuracy"].iloc[:3].argmax()
    factor = trials["optimizer.lr"].iloc[3] / trials["optimizer.lr"].iloc[best]
    assert 0.5 < factor < 2, factor
    assert factor != 1
    scheduler = sweep.scheduler.build()
    tune = scheduler.tune_scheduler(5, "val/loss", "min")
    decided = [tune.on_trial_result(None, None, {"val/loss": loss, "epochs": 1}) for loss in (0.5, 2.0)]
    assert decided == ["CONTINUE", "STOP"]
    assert scheduler.decision_epochs(3) == [1, 2, 3]


if __name__ == "__main__":
    package, *names = sys.argv[1:]
    assert lab.__file__.startswith(package), lab.__file__
    all_are_listed(names)
    verb()
    run = cell_data_optimizer_and_schedule()
    section(run)
    task()
    searcher_and_scheduler(run.config.dump())

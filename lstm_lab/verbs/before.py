"""The verbs that come before a training: find-lr, find-batch-size, suggest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lstm_lab.config import ConfigError
from lstm_lab.verbs import early
from lstm_lab.verbs.options import Name, Overrides, echo
from lstm_lab.verbs.suggest import suggest

__all__ = ["find_batch_size", "find_lr", "suggest"]

Conf = Annotated[str, typer.Argument(help="Experiment file, as conf/vowels_lstm.yaml.")]


def find_lr(
    conf: Conf,
    overrides: Overrides = None,
    name: Name = None,
    min_lr: Annotated[float, typer.Option(help="Learning rate of the first step.")] = 1e-6,
    max_lr: Annotated[float, typer.Option(help="Learning rate of the last step.")] = 1.0,
    num_training: Annotated[int, typer.Option(help="Steps.")] = 100,
) -> None:
    """Find a learning rate: the loss while the rate grows from step to step, as JSON and a page."""
    if not 0 < min_lr < max_lr < float("inf"):
        raise ConfigError(f"find-lr: --min-lr {min_lr:g} must be above 0 and below --max-lr {max_lr:g}")
    if num_training < 10:
        raise ConfigError(f"find-lr: --num-training {num_training}: must be at least 10")
    early.check_experiment(conf, overrides or ())
    from lstm_lab.experiment import load_experiment
    from lstm_lab.preflight.lr_finder import range_test, save
    from lstm_lab.system.out_of_memory import within_memory
    from lstm_lab.workflow import new_folder

    experiment = load_experiment(conf, overrides or ())
    dataset = experiment.data.build()
    with within_memory(experiment.data.batch_size):
        test = range_test(experiment, dataset, min_lr=min_lr, max_lr=max_lr, num_training=num_training)
    page = save(test, new_folder(name, f"find_lr_{Path(conf).stem}"), f"Learning-rate range test of {Path(conf).name}")
    echo(f"{len(test.lrs)} steps from {test.lrs[0]:.3g} to {test.lrs[-1]:.3g}; optimizer.lr is {test.current:g}")
    if test.suggestion is None:
        echo("no suggestion: the loss never falls; try other --min-lr and --max-lr, or more steps")
    else:
        echo(f"suggestion: optimizer.lr={test.suggestion:.2g}, where the loss falls fastest or below")
    echo(str(page))


def find_batch_size(conf: Conf, overrides: Overrides = None) -> None:
    """Find a batch size: samples a second and memory of 8, 16, ..., up to the first that does not fit."""
    early.check_experiment(conf, overrides or ())
    from lstm_lab.experiment import load_experiment
    from lstm_lab.preflight.batch_size import batch_sizes

    experiment = load_experiment(conf, overrides or ())
    rows = []
    for row in batch_sizes(experiment, experiment.data.build()):
        if row.samples_per_second is None or row.memory_mib is None:
            echo(f"{row.batch_size:>8}  does not fit into memory")
        else:
            echo(f"{row.batch_size:>8}  {row.samples_per_second:>10,.0f} samples/s  {row.memory_mib:>8,.0f} MiB")
            rows.append((row.samples_per_second, row.batch_size))
    if not rows:
        raise ConfigError("find-batch-size: not even the smallest batch fits into memory: make the model smaller")
    largest, fastest = max(size for _, size in rows), max(rows)[1]
    echo(f"largest that fits: data.batch_size={largest}; most samples a second: data.batch_size={fastest}")

"""What a trial's process is told: the content of Tune's `config` for one trial."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from lstm_lab.config import ConfigError
from lstm_lab.experiment import Experiment
from lstm_lab.records.code_state import CodeState
from lstm_lab.records.files import Row
from lstm_lab.sweeps.sections import Resources
from lstm_lab.tracking import Mode


class OtherCode(ConfigError):
    """A worker runs other code than the driver: its numbers would differ."""


@dataclass(frozen=True)
class TrialSpec:
    """One trial, in plain values: Tune pickles them, and flattens and merges whatever has keys of its own."""

    trial: str
    """Its id in the sweep's folder."""
    folder: str
    """The sweep's folder, as an absolute path."""
    group: str
    """Group of its W&B run."""
    experiment_json: str
    overrides_json: str
    seed: int
    fold: int | None
    """Of a cross-validation; None: there is none."""
    wandb: Mode
    command: str
    """Recorded in run.json."""
    resources: Row
    storage: str | None
    """URI that the run folder is copied to, where the nodes share no disk."""
    code: Row
    """The driver's `CodeState`, which the worker's must equal."""
    environment: dict[str, str]
    """Environment variables of the driver that a node of a cluster does not have."""
    population: int
    """Trials that must have started before any of them trains; 0: none."""
    decision_epochs: list[int] | None
    """Numbers of epochs after which the trial waits for the scheduler; None: after each."""
    is_ordered: bool
    """Whether the trial, started again, first reports where it stands, and waits for the reply."""
    measures_latency: bool = False
    """Whether the latency of its model is measured once it is trained."""

    @classmethod
    def of(cls, config: Row) -> TrialSpec:
        """From Tune's `config`."""
        return cls(**config)

    def config(self) -> Row:
        """As Tune's `config`."""
        return asdict(self)

    def check_code(self) -> None:
        """Raise OtherCode where this process runs other code than the driver."""
        if difference := CodeState.of_this_process().difference(CodeState(**self.code)):
            raise OtherCode(difference)

    @property
    def experiment(self) -> Experiment:
        """What it trains, unless its run folder has been changed by an exploit."""
        return Experiment.of(json.loads(self.experiment_json))

    @property
    def overrides(self) -> Row:
        """Dotted key -> value: its configuration."""
        found: Row = json.loads(self.overrides_json)
        return found

    @property
    def sweep_folder(self) -> Path:
        return Path(self.folder)

    @property
    def limits(self) -> Resources:
        """What it holds while it runs."""
        return Resources(**self.resources)

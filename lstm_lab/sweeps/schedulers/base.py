"""What every scheduler can do: check a sweep, build Ray Tune's scheduler, describe itself to W&B.

Ray is imported only inside `tune_scheduler`, so that a sweep file can be read and checked without it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Protocol

from lstm_lab.config.registry import Registered
from lstm_lab.experiment import Experiment
from lstm_lab.sweeps.ordering import Compares
from lstm_lab.sweeps.space.domains import Domain
from lstm_lab.sweeps.wandb_format import NoWandbEquivalent, Reader, WandbEarlyStopping

if TYPE_CHECKING:
    from ray.tune.schedulers import TrialScheduler


class SweepSettings(Protocol):
    """What a scheduler may check of a sweep; `lstm_lab.sweeps.spec.Sweep` satisfies it."""

    @property
    def base(self) -> Experiment: ...
    @property
    def space(self) -> Mapping[str, Domain]: ...
    @property
    def seeds(self) -> Sequence[int]: ...
    @property
    def num_configurations(self) -> int: ...
    @property
    def cross_validation(self) -> object | None: ...
    @property
    def learns_from_results(self) -> bool: ...
    @property
    def confirm(self) -> object | None: ...
    @property
    def patience_trials(self) -> int | None: ...


class Scheduler(Registered, kind="scheduler"):
    """When a trial is stopped because others do better."""

    stops_trials: ClassVar[bool] = True
    """Whether trials are stopped before they are trained to completion."""
    compares: ClassVar[Compares] = Compares.ANY_TRIALS
    """What its decision about a trial depends on; the less it is, the less trials wait for each other."""
    from_wandb: ClassVar[Mapping[str, Reader[Mapping[str, object]]]] = {}
    """Type of W&B's `early_terminate` that this scheduler stands for -> from that section to the fields of `Config`."""

    def check(self, sweep: SweepSettings) -> None:
        """Refuse a sweep that this scheduler cannot run.

        Raises:
            ValueError: with the key, the value and the way out.
        """

    @abstractmethod
    def tune_scheduler(self, max_epochs: int, metric: str, mode: str) -> TrialScheduler:
        """Ray Tune's scheduler, for trials of at most so many epochs; a result has the key "epochs" for its time.

        Args:
            metric: key of the monitored metric in a result.
            mode: "min" or "max".
        """

    def decision_epochs(self, max_epochs: int) -> list[int] | None:
        """After how many epochs a trial waits for the scheduler's decision; None: after each."""
        return None

    def to_wandb(self) -> WandbEarlyStopping:
        """The early stopping of a W&B sweep that comes closest.

        Raises:
            NoWandbEquivalent: there is none.
        """
        raise NoWandbEquivalent(f"W&B has no scheduler like '{self.name}'; write scheduler: asha or fifo")

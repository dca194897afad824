"""`monitor` of a sweep file, and what goes with several objectives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Protocol, get_args

from pydantic import BeforeValidator

from lstm_lab.sweeps.objectives.measures import MEASURES

if TYPE_CHECKING:  # Records are read without torch.
    from lstm_lab.experiment import Experiment


def _is_mapping(value: object) -> object:
    if isinstance(value, str):
        raise ValueError(
            f"{value} alone is monitored by the experiment: write overrides: "
            f"{{task.monitor: {value.removeprefix('val/')}}}; several objectives are a mapping, as "
            "{val/loss: min, parameters: min}"
        )
    return value


Monitor = Annotated[dict[str, Literal["min", "max"]], BeforeValidator(_is_mapping)]
"""Objective -> which of its values are better."""


class OfScheduler(Protocol):
    """What has to be known of a scheduler."""

    name: ClassVar[str]
    stops_trials: ClassVar[bool]


class SweepSettings(Protocol):
    """What several objectives are checked against; `lstm_lab.sweeps.spec.Sweep` satisfies it."""

    @property
    def base(self) -> Experiment: ...
    @property
    def monitor(self) -> Monitor | None: ...
    @property
    def patience_trials(self) -> int | None: ...
    @property
    def keep_checkpoints(self) -> int | None: ...


def metric_names(experiment: Experiment) -> list[str]:
    """The metrics of the validation split that trials can be compared by."""
    choices = get_args(type(experiment.task).model_fields["monitor"].annotation)
    return [f"val/{name}" for name in choices]


def check_objectives(sweep: SweepSettings, scheduler: OfScheduler, *, is_population: bool) -> None:
    """Refuse objectives that are not known or contradict the experiment, and what compares trials by one metric.

    Raises:
        ValueError: in one line, with the way out.
    """
    if sweep.monitor is None:
        return
    base, chosen = sweep.base, sweep.monitor
    known = [*metric_names(base), *MEASURES]
    for name, mode in chosen.items():
        if name not in known:
            raise ValueError(f"monitor: there is no objective '{name}'; there are: {', '.join(known)}")
        better = "min" if name in MEASURES else base.task.owner.mode_of(name.removeprefix("val/"))
        if mode != better:
            raise ValueError(f"monitor.{name}: {mode}: {'less' if better == 'min' else 'more'} is better: write "
                             f"{name}: {better}")  # fmt: skip
    first = next(iter(chosen), None)
    if len(chosen) < 2:
        raise ValueError("monitor: takes several objectives, as {val/loss: min, parameters: min}; a single one is "
                         "task.monitor of the experiment")  # fmt: skip
    if first != base.monitor:
        way_out = f"write overrides: {{task.monitor: {str(first).removeprefix('val/')}}}"
        raise ValueError(f"monitor: {first} comes first, but the best epoch of a trial is that of its best "
                         f"{base.monitor}: put that first{'' if first in MEASURES else f', or {way_out}'}")  # fmt: skip
    if scheduler.stops_trials or is_population:
        raise ValueError(f"monitor: scheduler '{scheduler.name}' compares trials by one metric, and would end some "
                         "that are better by another; write scheduler: fifo")  # fmt: skip
    for key, value in (("patience_trials", sweep.patience_trials), ("keep_checkpoints", sweep.keep_checkpoints)):
        if value is not None:
            raise ValueError(f"{key}: compares trials by one metric; leave it out with several objectives, or limit "
                             "budget.trials")  # fmt: skip

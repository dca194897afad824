"""`monitor`, `compromise` and constraints on metrics of a sweep file, and what goes with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Protocol, get_args

from pydantic import BeforeValidator

from lstm_lab.sweeps.objectives.compromise import Compromise
from lstm_lab.sweeps.objectives.limits import parse_limits
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
    def constraints(self) -> tuple[str, ...]: ...
    @property
    def compromise(self) -> Compromise: ...
    @property
    def patience_trials(self) -> int | None: ...
    @property
    def keep_checkpoints(self) -> int | None: ...


def metric_names(experiment: Experiment) -> list[str]:
    """The metrics of the validation split that trials can be compared by."""
    choices = get_args(type(experiment.task).model_fields["monitor"].annotation)
    return [f"val/{name}" for name in choices]


def check_criteria(sweep: SweepSettings, scheduler: OfScheduler, *, is_population: bool) -> None:
    """Refuse objectives, a compromise, and constraints on metrics that are not known or contradict the experiment.

    Raises:
        ValueError: in one line, with the way out.
    """
    _check_limits(sweep, scheduler)
    if sweep.monitor is not None:
        _check_objectives(sweep, sweep.monitor, scheduler, is_population=is_population)
    _check_compromise(sweep.compromise, sweep.monitor)


def _check_limits(sweep: SweepSettings, scheduler: OfScheduler) -> None:
    known = [*metric_names(sweep.base), *MEASURES]
    for limit in parse_limits(sweep.constraints):
        if limit.name.startswith("test/"):
            raise ValueError(f"constraints: '{limit.text}': the test split is held out: write a metric of the "
                             f"validation split: {', '.join(known)}")  # fmt: skip
        if limit.name not in known:
            raise ValueError(f"constraints: '{limit.text}': no trial has a metric '{limit.name}'; there are: "
                             f"{', '.join(known)}")  # fmt: skip
        if limit.name == "latency" and scheduler.stops_trials:
            raise ValueError(f"constraints: '{limit.text}': it is measured once a trial is trained to completion, and "
                             f" scheduler '{scheduler.name}' stops trials before; write scheduler: fifo")  # fmt: skip


def _check_compromise(compromise: Compromise, monitor: Monitor | None) -> None:
    if compromise != "first" and monitor is None:
        raise ValueError("compromise: needs several objectives: write monitor: {val/loss: min, parameters: min}, or "
                         "leave it out")  # fmt: skip
    if isinstance(compromise, str):
        return
    wrong = next((name for name in compromise if name not in (monitor or {})), None)
    if wrong is not None or not compromise:
        what = f"'{wrong}' is no objective" if compromise else "no objective has a weight"
        raise ValueError(f"compromise: {what}; there are: {', '.join(monitor or {})}")


def _check_objectives(sweep: SweepSettings, chosen: Monitor, scheduler: OfScheduler, *, is_population: bool) -> None:
    """Refuse objectives that are not known or contradict the experiment, and what compares trials by one metric."""
    base = sweep.base
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

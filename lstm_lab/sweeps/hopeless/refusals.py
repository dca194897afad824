"""What `stop_sick: true` does not go with."""

from __future__ import annotations

from typing import Protocol

from lstm_lab.config.registry import Named
from lstm_lab.sweeps.objectives import Criteria


class SweepSettings(Protocol):
    """What is checked; `lstm_lab.sweeps.spec.Sweep` satisfies it."""

    @property
    def order(self) -> str: ...
    @property
    def scheduler(self) -> Named: ...
    @property
    def is_population_based(self) -> bool: ...
    @property
    def criteria(self) -> Criteria: ...


def check_stop_sick(sweep: SweepSettings) -> None:
    """Refuse a sweep whose hopeless trials cannot be told, or are not to be ended.

    Raises:
        ValueError: in one line, with the way out.
    """
    if sweep.order == "arrival":
        raise ValueError("stop_sick: true with order: arrival: a trial is judged by those that come before it on the "
                         "virtual clock; write order: virtual")  # fmt: skip
    if sweep.is_population_based:
        raise ValueError(f"stop_sick: true with scheduler {sweep.scheduler.name}: a trial that is worse than others "
                         "continues from one of them; leave stop_sick out")  # fmt: skip
    if sweep.criteria.objectives:
        raise ValueError("stop_sick: true with several objectives: it ends what is hopeless by the first one, and may "
                         "be the best by another; leave stop_sick out")  # fmt: skip
    if any(limit.name == "latency" for limit in sweep.criteria.limits):
        raise ValueError("stop_sick: true with a constraint on latency, which is measured once a trial is trained to "
                         "completion; leave one of them out")  # fmt: skip

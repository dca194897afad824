"""A scheduler's decider that ends hopeless trials too."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from lstm_lab.config.registry import import_all
from lstm_lab.sweeps.hopeless.base import PREFIX, Curve, HopelessRule, Suspect
from lstm_lab.sweeps.ordering import Decider, Report

MAX_OTHERS = 100
"""Trials that one is compared with: the last ones before it."""


def check_epochs(max_epochs: int) -> list[int]:
    """After how many epochs trials are looked at: 1, 2, 4, 8 and so on, before the last one."""
    return [2**power for power in range(max(max_epochs - 1, 0).bit_length())]


class HopelessDecider:
    """Asks the rules, then the scheduler; what a rule ends counts for the scheduler as if it had stayed where it was.

    A decision about a trial depends on what trials before it reported at their checks up to as many epochs, and on
    nothing else: these are known whenever the clock lets it be taken. Without the second half a rung of halving
    would compare healthy trials alone, and stop more of them.

    Args:
        inner: of the scheduler.
        rungs: epochs after which it decides; None: after each.
        max_epochs: that trials are trained for at most.
        metric: the monitored one.
        mode: min or max.
        configuration_of: number of a trial -> its configuration.
        epochs_of: number of a trial -> epochs that it is trained for.
        reasons: filled: number of a trial -> why it is ended.
    """

    def __init__(
        self, inner: Decider, rungs: Collection[int] | None, max_epochs: int, metric: str, mode: str,
        configuration_of: Callable[[int], int], epochs_of: Callable[[int], int], reasons: dict[int, str],
    ) -> None:  # fmt: skip
        import_all("lstm_lab.sweeps.hopeless.rules")
        self.rules = [HopelessRule.registered[name]() for name in sorted(HopelessRule.registered)]
        self.inner, self.rungs, self.checks = inner, rungs, frozenset(check_epochs(max_epochs))
        self.metric, self.mode = metric, mode
        self.configuration_of, self.epochs_of, self.reasons = configuration_of, epochs_of, reasons
        self.curves: dict[int, dict[int, Report]] = {}
        """Number of a trial -> its rows at the checks."""
        self.ended: dict[int, int] = {}
        """Number of a trial -> epochs after which a rule ended it, or after which the scheduler was last told of it."""

    def decide(self, trial: int, epochs: int, row: Report) -> bool:
        goes_on = True
        if self.rungs is None or epochs in self.rungs:
            self._tell(trial, epochs)
            goes_on = self.inner.decide(trial, epochs, row)
        if epochs in self.checks:
            self.curves.setdefault(trial, {})[epochs] = row
            if goes_on and (why := self._why(trial, epochs)):
                self.reasons[trial] = PREFIX + why
                self.ended[trial] = epochs
                return False
        return goes_on

    def _why(self, trial: int, epochs: int) -> str | None:
        ours, others = self.configuration_of(trial), list[Curve]()
        for other in range(trial - 1, -1, -1):
            if other in self.curves and self.configuration_of(other) != ours:
                others.append(self._curve(other, epochs))
            if len(others) == MAX_OTHERS:
                break
        suspect = Suspect(self._curve(trial, epochs), others, self.epochs_of(trial), self.metric, self.mode)
        found = ((rule.name, rule.check(suspect)) for rule in self.rules)
        return next((f"{name}: {measured}" for name, measured in found if measured is not None), None)

    def _curve(self, trial: int, epochs: int) -> Curve:
        """Rows of a trial at its checks up to so many epochs; a resumed clock may know more."""
        return {n: row for n, row in sorted(self.curves[trial].items()) if n <= epochs}

    def _tell(self, trial: int, epochs: int) -> None:
        """Tell the scheduler of the trials before this one that a rule has ended before these epochs."""
        for other, since in sorted(self.ended.items()):
            if other > trial or self.rungs is None:
                continue
            row = self.curves[other][max(n for n in self.curves[other] if n <= since)]
            for rung in sorted(self.rungs):
                if since < rung <= epochs and rung < self.epochs_of(other):
                    self.ended[other] = rung
                    if not self.inner.decide(other, rung, row):
                        del self.ended[other]
                        break

    def compare(self, epochs: int, rows: Mapping[int, Report]) -> None:
        raise NotImplementedError("no trial of a population is ended as hopeless")

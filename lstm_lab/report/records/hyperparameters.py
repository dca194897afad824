"""Which hyperparameters of a sweep vary, and which are chosen from a list."""

from __future__ import annotations

from lstm_lab.config import canonical_json
from lstm_lab.sweeps.space.domains.base import Domain
from lstm_lab.sweeps.space.domains.choice import Choice
from lstm_lab.sweeps.space.domains.ranges import Range
from lstm_lab.sweeps.store.record import SweepRecord


def domain_of(sweep: SweepRecord, key: str) -> type[Domain] | None:
    """Class of a hyperparameter's domain; None for one that is not in the search space."""
    return Domain.members.get(sweep.space[key][0]) if key in sweep.space else None


def is_grid(sweep: SweepRecord, key: str) -> bool:
    """Whether each value was combined with every configuration of the others."""
    domain = domain_of(sweep, key)
    return domain is not None and domain.exhaustive


def is_listed(sweep: SweepRecord, key: str) -> bool:
    """Whether its values are chosen from a list."""
    domain = domain_of(sweep, key)
    return domain is not None and issubclass(domain, Choice)


def is_logarithmic(sweep: SweepRecord, key: str) -> bool:
    """Whether its values are drawn on a logarithmic scale."""
    domain = domain_of(sweep, key)
    return domain is not None and issubclass(domain, Range) and domain.log


def varying(sweep: SweepRecord) -> list[str]:
    """Hyperparameters that differ between trials, in the order of the search space."""
    values: dict[str, set[str]] = {}
    for trial in sweep.trials:
        for key, value in trial.overrides.items():
            values.setdefault(key, set()).add(canonical_json(value))
    order = [*sweep.space, *(key for key in values if key not in sweep.space)]
    everywhere = {key for key in values if all(key in trial.overrides for trial in sweep.trials)}
    return [key for key in order if len(values.get(key, ())) > 1 or (key in values and key not in everywhere)]


def categorical(sweep: SweepRecord) -> dict[str, list[object]]:
    """Hyperparameters chosen from a list, with those of their values that were tried, in the order of the list."""
    found = {}
    for key in varying(sweep):
        tried = {canonical_json(trial.overrides[key]) for trial in sweep.trials if key in trial.overrides}
        listed = sweep.space[key][1] if is_listed(sweep, key) else []
        values = [value for value in listed if canonical_json(value) in tried]
        if len(values) > 1:
            found[key] = values
    return found

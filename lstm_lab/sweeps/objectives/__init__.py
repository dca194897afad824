"""Several objectives of a sweep: what a trial is measured by, and which configurations no other one dominates."""

from lstm_lab.sweeps.objectives.compromise import Compromise, describe_compromise
from lstm_lab.sweeps.objectives.criteria import SINGLE, Criteria, Outcome
from lstm_lab.sweeps.objectives.limits import Limit, is_limit
from lstm_lab.sweeps.objectives.measures import MEASURES, Measure
from lstm_lab.sweeps.objectives.objective import Objective
from lstm_lab.sweeps.objectives.pareto import pareto_fronts
from lstm_lab.sweeps.objectives.section import Monitor, check_criteria

__all__ = [
    "MEASURES",
    "SINGLE",
    "Compromise",
    "Criteria",
    "Limit",
    "Measure",
    "Monitor",
    "Objective",
    "Outcome",
    "check_criteria",
    "describe_compromise",
    "is_limit",
    "pareto_fronts",
]

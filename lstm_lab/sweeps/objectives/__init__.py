"""Several objectives of a sweep: what a trial is measured by, and which configurations no other one dominates."""

from lstm_lab.sweeps.objectives.criteria import SINGLE, Criteria, Objective, Outcome
from lstm_lab.sweeps.objectives.measures import MEASURES, Measure
from lstm_lab.sweeps.objectives.pareto import pareto_fronts
from lstm_lab.sweeps.objectives.section import Monitor, check_objectives

__all__ = [
    "MEASURES",
    "SINGLE",
    "Criteria",
    "Measure",
    "Monitor",
    "Objective",
    "Outcome",
    "check_objectives",
    "pareto_fronts",
]

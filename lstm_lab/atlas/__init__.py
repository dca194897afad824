"""Which configurations to begin with: what the same ones brought on other data sets."""

from lstm_lab.atlas.portfolio import greedy, relative_regret
from lstm_lab.atlas.suggest import Suggestion, fitting, suggestions
from lstm_lab.atlas.table import Atlas, read_atlas

__all__ = ["Atlas", "Suggestion", "fitting", "greedy", "read_atlas", "relative_regret", "suggestions"]

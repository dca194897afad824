"""How operators of torch are written on a tape: one rule per operator.

An operator without a rule, or whose rule raises `UnsupportedOp`, sends the whole step through torch.
"""

from lstm_lab.config.registry import import_all
from lstm_lab.kernels.rules.registry import RULES

import_all(__name__)

__all__ = ["RULES"]

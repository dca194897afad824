"""No average."""

from __future__ import annotations

from lstm_lab.optimizers.averaging.base import Averaging


class NoAveraging(Averaging, name="none"):
    """The weights of the last step."""

    is_used = False

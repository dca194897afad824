"""Hyperparameter sweeps.

spec        the sweep file; its search space in space/, searchers/ and schedulers/ hold one class a file
execution   the trials on Ray Tune
store       the folder of a sweep: records, leaderboard, repair
view        progress, dry run, conversion from and to W&B
"""

import sys

from lstm_lab.startup import lazy_imports

# Ray's worker processes import this package first; other programs keep their own imports.
if sys.argv[:1] and sys.argv[0].endswith("default_worker.py"):
    lazy_imports.install()

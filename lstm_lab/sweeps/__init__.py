"""A question over experiments: what is asked (spec), who answers (tune, trial), what is known so far (record)."""

import sys

from lstm_lab.startup import lazy_imports

# A trial's process begins here; in a process of somebody else, imports are none of ours.
if sys.argv[:1] and sys.argv[0].endswith("default_worker.py"):
    lazy_imports.install()

"""A question over experiments: what is asked (spec), who answers (tune, trial), what is known so far (record)."""

from lstm_lab import lean

# An actor begins here.
lean.imports()

"""What a trained network does: its gates, how far it remembers, and which inputs its predictions rest on.

`collect.explain` computes it for a run, from samples of the validation split; `explanation.json` holds it.
"""

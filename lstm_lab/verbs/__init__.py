"""The verbs of the command line, by what they are about; each is a few lines over a function of another room.

Heavy imports stand inside the verbs: `--help` brings in neither torch, nor ray, nor wandb.
"""

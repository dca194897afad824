"""Records of runs and sweeps, and W&B runs of other code, as reports need them."""

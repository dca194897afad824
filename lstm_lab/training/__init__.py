"""Training of one experiment: the LightningModule, the loop over blocks of steps, checkpoints, several processes."""

"""What the task `forecast` is made of: outputs and their losses, metrics, baselines, calibrated intervals."""

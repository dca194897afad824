"""A sweep as it is shown: progress, dry run, conversion to W&B."""

"""What data look like: labelled, tagged, measured, token and series data, each with its splits and batches."""

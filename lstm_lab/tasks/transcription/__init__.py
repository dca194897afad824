"""What the task `transcribe` is made of: decoding of alignments, error rates, and baselines."""

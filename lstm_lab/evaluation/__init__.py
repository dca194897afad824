"""A trained run in use: its scores on a split, predictions for new data, Monte-Carlo dropout."""

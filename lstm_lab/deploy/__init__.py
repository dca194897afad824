"""A trained model in use, beside `predict`: one file for each way out."""

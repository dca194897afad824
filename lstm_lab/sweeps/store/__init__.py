"""The folder of a sweep: what is recorded, ranked, repaired, removed."""

"""Files into arrays: tables, time stamps, texts, vectors, and a cache of what was read."""

"""The files of a run: their names, forms and checksums, and how they are read and written."""

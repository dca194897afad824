"""Random inputs for the command: files, configurations and records that nobody meant to write.

`make fuzz` runs 5,000 of them, `make fuzz ONLY=17` one of them again. An input is drawn from the seed and its index
alone. It fails where the command ends in an undeclared exception, an undocumented exit code, an error that is not one
line, or not within the time limit.
"""

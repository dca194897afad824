"""How a process starts: imports that wait until they are used, and Ray's local head."""

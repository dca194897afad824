"""What the machine refuses or asks: a full disk, no memory, a signal to stop."""

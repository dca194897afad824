"""Parts of the task `translate`."""

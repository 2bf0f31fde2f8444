"""One training: the module, the trainer, its processes and its random numbers."""

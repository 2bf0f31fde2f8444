"""Search over hyperparameters: what a sweep tries, and what it ends with."""

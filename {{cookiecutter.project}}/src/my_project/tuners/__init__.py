"""What finds the value of an option before training."""

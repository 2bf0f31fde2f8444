"""Options that are found before training: the learning rate and the batch size."""

"""Checkpoints: how they are written, read, found, trusted and carried over."""

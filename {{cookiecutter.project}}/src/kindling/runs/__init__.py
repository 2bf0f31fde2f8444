"""Runs: their folders, names, records and settings, and how they are resumed and repeated."""

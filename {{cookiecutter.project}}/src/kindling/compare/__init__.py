"""What several runs have reached, side by side, and whether a difference is more than chance."""

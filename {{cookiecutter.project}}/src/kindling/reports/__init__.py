"""What one run has shown: curves, outcomes, and a page for each checkpoint."""

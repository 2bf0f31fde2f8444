"""Where the jobs of a sweep run: here, under Slurm, on Ray."""

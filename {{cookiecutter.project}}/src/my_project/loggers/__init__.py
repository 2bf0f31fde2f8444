"""Who keeps track of a run, besides the CSV file."""

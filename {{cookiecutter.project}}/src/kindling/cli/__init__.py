"""The command line: what is checked, how mistakes are shown."""

"""Who starts the workers of a sweep on other machines: one file each, and a YAML file of the same name."""

"""Callbacks that Lightning does not have: one file each, and a YAML file of the same name in configs/callbacks."""

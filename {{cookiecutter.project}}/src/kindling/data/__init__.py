"""Datasets on disk, and the batches that training reads of them."""

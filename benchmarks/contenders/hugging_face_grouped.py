"""The Trainer of Hugging Face Transformers with train_sampling_strategy="group_by_length"."""

import hugging_face
from work import Work

TITLE = "Hugging Face Trainer, group_by_length"


def train(work: Work) -> None:
    """Train as hugging_face.py does, with texts of like length in a batch."""
    hugging_face.train(work, train_sampling_strategy="group_by_length")


JOBS = {"text": train}

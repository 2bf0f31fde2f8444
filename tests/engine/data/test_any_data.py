"""Whatever the size of a dataset, the number of its classes and the names of its columns and folders."""

import csv
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from kindling.data.file import TextFile

# Letters of several alphabets, marks, spaces and dots; no slash, and nothing that a terminal would take as a command.
LETTERS = st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs"), exclude_characters='/\\\0"')
NAMES = st.text(LETTERS, min_size=1, max_size=12).filter(lambda name: name.strip(" .") == name)
FEW = settings(max_examples=8, deadline=None, print_blob=True, suppress_health_check=list(HealthCheck))


def write(path: Path, text: str, label: str, classes: int, samples: int) -> list[str]:
    names = [f"class {number}" for number in range(classes)]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([label, text])
        writer.writerows([names[number % classes], f"word {number} of a text"] for number in range(samples))
    return names


@FEW
@given(
    classes=st.integers(2, 300),
    more=st.integers(40, 150),
    columns=st.lists(NAMES, min_size=2, max_size=2, unique=True),
    folder=NAMES,
    batch_size=st.integers(1, 70),
    folds=st.none() | st.integers(2, 6),
)
def test_a_file_becomes_a_dataset_and_its_checkpoint_reads_rows(
    classes: int, more: int, columns: list[str], folder: str, batch_size: int, folds: int | None
) -> None:
    text, label = columns
    with tempfile.TemporaryDirectory() as place:
        home = Path(place, folder)
        home.mkdir()
        names = write(home / "all.csv", text, label, classes, classes + more)
        note(f"{text=} {label=} {folder=}")

        def data() -> TextFile:
            options = {"vocab_size": 300, "batch_size": batch_size, "folds": folds}
            return TextFile(str(home / "all.csv"), text=text, label=label, dir=str(home / "made"), **options)

        made = data()
        made.make()
        made.prepare_data()
        made.setup()
        assert made.classes == sorted(names)
        rows = sorted(int(row) for split in made.splits.values() for row in split)
        assert rows == list(range(classes + more))
        targets = [int(value) for batch in made.train_dataloader() for value in batch[1]]
        assert len(targets) == len(made.splits["train"])
        assert min(targets) >= 0 and max(targets) < classes
        alone = data()
        alone.load_state_dict(made.state_dict())
        row = {text: "word 7 of a text"}
        assert alone.problem(row) == ""
        assert alone.encode([row])["input_ids"].tolist() == made.encode([row])["input_ids"].tolist()

import json
import shutil
from pathlib import Path

import pytest
from kindling.cli.resolvers import slug, stem
from kindling.data import store
from kindling.data.file import TextFile
from kindling.errors import UsageError


def text_file(source: Path, folder: str | Path, **options) -> TextFile:
    return TextFile(str(source), text="review", label="stars", dir=str(folder), **options)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "name",
    ["thesis.txt", "raw/reviews.csv", "dataset.json", "samples.parquet", "tokens/notes.txt", "columns/a/b", ".env"],
)
def test_a_folder_with_anything_else_in_it_is_never_replaced(reviews, tmp_path, name: str) -> None:
    theirs = tmp_path / "made" / name
    theirs.parent.mkdir(parents=True)
    theirs.write_text("{}")
    with pytest.raises(UsageError, match=r"would be lost; name a folder for this|move it away") as error:
        text_file(reviews, tmp_path / "made").make()
    assert "\n" not in str(error.value)
    assert contents(tmp_path) == {f"made/{name}": b"{}"}


def test_what_somebody_puts_into_a_dataset_is_kept(reviews, tmp_path) -> None:
    text_file(reviews, tmp_path / "made").make()
    (tmp_path / "made" / "thesis.txt").write_text("mine")
    before = contents(tmp_path)
    with pytest.raises(UsageError, match=r"thesis\.txt in it would be lost"):
        text_file(reviews, tmp_path / "made", labels="none").make()
    assert contents(tmp_path) == before


def test_a_file_that_comes_while_the_dataset_is_made_is_kept(tmp_path) -> None:
    def samples():
        for number in range(200):
            yield {"text": str(number)}, str(number).encode()
        (tmp_path / "made").mkdir()
        (tmp_path / "made" / "thesis.txt").write_text("mine")

    schema = store.pa.schema([("text", store.pa.string())])
    with pytest.raises(UsageError, match=r"thesis\.txt"):
        store.make(tmp_path / "made", samples(), schema, {})
    assert contents(tmp_path) == {"made/thesis.txt": b"mine"}


@pytest.mark.parametrize("given", ["", " ", ".", "..", "{tmp}", "{tmp}/file"])
def test_a_folder_that_cannot_be_one_is_refused(reviews, tmp_path, monkeypatch, given: str) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(UsageError, match=r"^data\.dir="):
        text_file(reviews, given.format(tmp=tmp_path)).make()
    assert contents(tmp_path) == {"file": b"mine"}
    assert (tmp_path / "here").is_dir()


def test_a_name_that_is_too_long_is_refused(reviews) -> None:
    for use in (lambda data: data.make(), lambda data: store.facts(data.dir)):
        with pytest.raises(UsageError, match=r"^data\.dir=x{80}: File name too long"):
            use(text_file(reviews, "x" * 300))


def test_a_dataset_behind_a_link_is_replaced_there_and_dvc_keeps_its_file(reviews, tmp_path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / ".gitignore").write_text("/samples.parquet\n")  # all that `dvc repro` leaves
    (tmp_path / "made").symlink_to(tmp_path / "disk")
    for labels in ("classes", "none"):
        text_file(reviews, tmp_path / "made", labels=labels).make()
    assert (tmp_path / "made").is_symlink()
    assert contents(tmp_path / "disk").keys() == {".gitignore", "dataset.json", "samples.parquet"}


def test_a_failed_dataset_leaves_an_empty_folder_of_the_user(tmp_path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "a.csv").write_text("review,stars\n")
    with pytest.raises(UsageError, match="0 samples"):
        text_file(tmp_path / "a.csv", tmp_path / "data" / "made").make()
    assert (tmp_path / "data").is_dir()


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", "null"])
def test_damaged_facts_are_one_line(tmp_path, content: str) -> None:
    (tmp_path / "dataset.json").write_text(content)
    with pytest.raises(UsageError, match=r"dataset\.json is damaged .* run make_dataset\.py"):
        store.facts(tmp_path)


@pytest.mark.parametrize("name", ["..csv", "-.csv", "???.csv", "...csv", "....csv", "- -.csv", "a/..csv"])
def test_a_file_whose_name_has_no_letter_gets_a_folder_of_its_own(name: str) -> None:
    assert stem(name) == "unnamed"


def test_names_of_folders_stay_as_they_were_and_are_never_too_long() -> None:
    assert [slug(name) for name in ("stanfordnlp/imdb", "my reviews", "a.b", "_", ".a")] == [
        *("stanfordnlp-imdb", "my-reviews", "a.b", "_", ".a")
    ]
    assert slug("..") == slug(".") == slug("") == "unnamed"
    long = [slug("ä" * 300), slug("ä" * 301)]
    assert len(set(long)) == 2
    assert max(len(name.encode()) for name in long) < 140


def test_the_default_folder_of_a_nameless_file_leaves_the_other_datasets(command, reviews, tmp_path) -> None:
    (tmp_path / "data" / "raw").mkdir(parents=True)
    source = Path(shutil.copy(reviews, tmp_path / "data" / "raw" / "-.csv"))
    options = ["data=csv", f"data.path={source}", "data.text=review", "data.label=stars", "data.vocab_size=300"]
    assert command("make_dataset", *options).code == 0
    assert json.loads((tmp_path / "data" / "unnamed" / "dataset.json").read_text())["num_samples"] == 150
    result = command("make_dataset", *options, f"data.dir={tmp_path / 'data'}")
    assert result.code == 2
    assert "make_dataset.py: data.dir=" in result.err.splitlines()[-1]
    assert source.exists()

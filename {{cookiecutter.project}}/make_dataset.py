"""Make a dataset.

python make_dataset.py                                              Python's docstrings: configs/data/docstrings.yaml
python make_dataset.py data=csv data.path=a.csv data.text=review    your own file
python make_dataset.py data=hub data.name=stanfordnlp/imdb          a dataset of the Hugging Face hub
python make_dataset.py data.max_length=256 data.vocab_size=16000    with the tokens that these options of train.py need
"""

import hydra
from hydra.utils import instantiate
from omegaconf import DictConfig

from kindling.cli.command import command
from kindling.errors import short


@command
@hydra.main(version_base="1.3", config_path="configs", config_name="make_dataset")
def main(cfg: DictConfig) -> None:
    """Make the dataset that `cfg.data` describes and what training reads of it, unless they are there already."""
    data = instantiate(cfg.data)
    facts = data.make()
    data.prepare_data()
    counts = ", ".join(f"{count} {split}" for split, count in facts["splits"].items())
    print(f"{short(data.dir)}: {facts['num_samples']} samples ({counts})")
    if facts["classes"]:
        print("  " + ", ".join(f"{name} {count}" for name, count in facts["classes"].items()))


if __name__ == "__main__":
    main()

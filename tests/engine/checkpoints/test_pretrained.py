import shutil
from pathlib import Path

import pytest
import torch
from kindling.checkpoints.load import load_data, load_task
from kindling.checkpoints.predictor import Predictor
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "fine", "the", "a"]


@pytest.fixture
def pretrained(tmp_path) -> Path:
    """A folder as `save_pretrained` leaves it: a language model without our head, and a tokenizer of its own."""
    folder = tmp_path / "pretrained"
    vocab = {word: number for number, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    torch.manual_seed(7)
    BertForMaskedLM(config).save_pretrained(folder)
    return folder


def test_fine_tuning_starts_from_the_pretrained_weights_and_tokenizer(command, dataset, pretrained, tmp_path) -> None:
    overrides = [f"model.pretrained={pretrained}", "optimizer=sgd", "optimizer.lr=0", "debug=fast", "logger=[csv]"]
    result = command("train", *dataset, *overrides, f"paths.run={tmp_path / 'run'}")
    assert result.code == 0, result.err
    task = load_task(tmp_path / "run/checkpoints/best.ckpt")
    original = BertForMaskedLM.from_pretrained(pretrained).bert.embeddings.word_embeddings.weight
    assert torch.equal(task.model.network.bert.embeddings.word_embeddings.weight, original)
    data = load_data(tmp_path / "run/checkpoints/best.ckpt")
    assert data.encode([{"review": "The good unheard bad"}])["input_ids"].tolist() == [[8, 5, 1, 6]]


def test_a_fine_tuned_checkpoint_needs_the_pretrained_folder_no_more(command, dataset, pretrained, tmp_path) -> None:
    overrides = [f"model.pretrained={pretrained}", "debug=fast", "logger=[csv]", f"paths.run={tmp_path / 'run'}"]
    command("train", *dataset, *overrides)
    before = Predictor(tmp_path / "run/checkpoints/best.ckpt")([{"review": "good"}, {"review": "bad fine"}])
    shutil.rmtree(pretrained)
    assert Predictor(tmp_path / "run/checkpoints/best.ckpt")([{"review": "good"}, {"review": "bad fine"}]) == before
    assert command("evaluate", f"checkpoint={tmp_path / 'run'}").code == 0


def test_the_tokens_of_a_pretrained_model_can_be_made_beforehand(command, dataset, pretrained, tmp_path) -> None:
    assert "into tokens" in command("make_dataset", *dataset, f"data.pretrained={pretrained}").err
    overrides = [f"model.pretrained={pretrained}", "debug=fast", "logger=[csv]", f"paths.run={tmp_path / 'run'}"]
    result = command("train", *dataset, *overrides)
    assert result.code == 0, result.err
    assert "into tokens" not in result.err

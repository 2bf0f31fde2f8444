from torch import Tensor, nn

from .embedding import ScaledEmbedding


class BagOfWords(nn.Module):
    """The mean of the tokens' vectors and a linear layer, from (B, T) to (B, num_outputs).

    This is fastText's classifier without n-grams (Joulin et al., 2016, https://arxiv.org/abs/1607.01759): it does not
    know the order of the words, so it tells how much the order is worth.
    """

    def __init__(self, num_outputs: int, vocab_size: int, hidden_size: int = 128, dropout: float = 0.3) -> None:
        super().__init__()
        self.embedding = ScaledEmbedding(vocab_size, hidden_size)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden_size, num_outputs)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        weight = attention_mask / attention_mask.sum(dim=1, keepdim=True)
        mean = (self.embedding(input_ids) * weight.unsqueeze(-1)).sum(dim=1)
        return self.head(self.dropout(mean))

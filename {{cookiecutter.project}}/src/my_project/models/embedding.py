import math

from torch import Tensor, nn


class ScaledEmbedding(nn.Embedding):
    """Token vectors that start small and are scaled up, from token numbers (B, T) to (B, T, hidden_size).

    Scaled by the root of the size (Vaswani et al., 2017, https://arxiv.org/abs/1706.03762, section 3.4), rare tokens
    learn fast at a rate that suits the other layers.
    """

    def __init__(self, vocab_size: int, hidden_size: int) -> None:
        super().__init__(vocab_size, hidden_size)
        nn.init.normal_(self.weight, std=hidden_size**-0.5)

    def forward(self, tokens: Tensor) -> Tensor:
        return super().forward(tokens) * math.sqrt(self.embedding_dim)

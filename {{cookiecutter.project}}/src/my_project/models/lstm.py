from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from .embedding import ScaledEmbedding


class LSTM(nn.Module):
    """A bidirectional LSTM and the maximum over time, from token numbers (B, T) to outputs (B, num_outputs)."""

    def __init__(
        self, num_outputs: int, vocab_size: int, hidden_size: int = 128, num_layers: int = 1, dropout: float = 0.3
    ) -> None:
        super().__init__()
        self.embedding = ScaledEmbedding(vocab_size, hidden_size)
        self.encoder = nn.LSTM(hidden_size, hidden_size, num_layers, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(2 * hidden_size, num_outputs)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        lengths = attention_mask.sum(dim=1).cpu()
        embedded = self.dropout(self.embedding(input_ids))
        packed = pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(self.encoder(packed)[0], batch_first=True, padding_value=float("-inf"))
        return self.head(self.dropout(states.amax(dim=1)))

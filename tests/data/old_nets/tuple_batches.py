# fmt: off
"""An older Net: criteria in a tuple, bare logits, an endless generation loop, learn without a result."""

import torch
import torch.nn as nn


def supported_hyperparameters():
    """What may be tuned."""
    return {"lr", "momentum", "dropout"}


class Recurrent(nn.Module):
    def __init__(self, words, width):
        super().__init__()
        self.width = width
        self.embed = nn.Embedding(words, width)
        self.gru = nn.GRU(width, width, batch_first=True)
        self.out = nn.Linear(width, words)

    def start(self, size):
        return torch.zeros(1, size, self.width)

    def forward(self, tokens, state):
        hidden, state = self.gru(self.embed(tokens), state)
        return self.out(hidden), state


class Net(nn.Module):
    def __init__(self, in_shape, out_shape, prm, device):
        super().__init__()
        self.device = device
        self.vision = nn.Sequential(nn.Conv2d(in_shape[1], 16, 3, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.drop = nn.Dropout(prm.get("dropout", 0.1))
        self.rnn = Recurrent(out_shape[0], 16)

    def train_setup(self, prm):
        self.to(self.device)
        self.criteria = (nn.CrossEntropyLoss().to(self.device),)
        self.optimizer = torch.optim.Adam(self.parameters(), lr=prm["lr"])  # plain Adam

    def learn(self, train_data):
        self.train()
        # one pass over the data
        for images, captions in train_data:
            if images.size(0) < 2:
                continue  # too small
            images, captions = images.to(self.device), captions.to(self.device)[:, 0]
            logits = self(images, captions)
            loss = self.criteria[0](logits.reshape(-1, logits.size(-1)), captions[:, 1:].reshape(-1))
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()

    def forward(self, images, captions=None):
        state = self.drop(self.vision(images)).unsqueeze(0)
        if captions is not None:
            logits, _ = self.rnn(captions[:, :-1], state)
            return logits  # [B, T-1, V]
        token = torch.ones(images.size(0), 1, dtype=torch.long, device=images.device)
        words = []
        while True:
            scores, state = self.rnn(token, state)
            token = scores.argmax(-1)
            words.append(token)
            if (token == 2).all():
                break
        return torch.cat(words, dim=1)

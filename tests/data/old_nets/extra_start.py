# fmt: off
"""An older Net: a second start token, (logits, targets) from forward, all five captions, two losses."""

import torch
import torch.nn as nn
import torch.nn.functional as F


def supported_hyperparameters():
    return {"lr", "momentum"}


class Decoder(nn.Module):
    def __init__(self, words):
        super().__init__()
        self.embed = nn.Embedding(words, 24)
        self.cell = nn.LSTMCell(24, 24)
        self.out = nn.Linear(24, words)

    def forward(self, tokens, hidden):
        h, c = hidden
        scores = []
        for t in range(tokens.size(1)):
            h, c = self.cell(self.embed(tokens[:, t]), (h, c))
            scores.append(self.out(h))
        return torch.stack(scores, dim=1), (h, c)


class Net(nn.Module):
    def __init__(self, in_shape, out_shape, prm, device):
        super().__init__()
        self.device = device
        self.vision = nn.Sequential(nn.Conv2d(in_shape[1], 24, 3, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.rnn = Decoder(out_shape[0])

    def forward(self, images, captions=None, hidden_state=None):
        features = torch.tanh(self.vision(images))
        hidden_state = (features, torch.zeros_like(features))
        if captions is not None:
            start = torch.full((captions.size(0), 1), 1, dtype=torch.long, device=self.device)
            inputs = torch.cat([start, captions[:, :-1]], dim=1)
            targets = captions
            outputs, _ = self.rnn(inputs, hidden_state)
            return outputs, targets
        else:
            token = torch.ones(images.size(0), 1, dtype=torch.long, device=self.device)
            words = []
            for _ in range(10):
                scores, hidden_state = self.rnn(token, hidden_state)
                token = scores.argmax(-1)
                words.append(token)
            return torch.cat(words, dim=1)

    def train_setup(self, prm):
        self.to(self.device)
        self.optimizer = torch.optim.SGD(self.parameters(), lr=prm["lr"], momentum=prm["momentum"])

    def learn(self, train_data):
        self.train()
        for images, captions in train_data:
            images, captions = images.to(self.device), captions.to(self.device)
            repeated = images.repeat_interleave(captions.size(1), dim=0)
            flat = captions.reshape(-1, captions.size(-1))
            outputs, targets = self.forward(repeated, flat)
            loss = F.cross_entropy(outputs.reshape(-1, outputs.size(-1)), targets.view(-1))
            small = 1e-4 * self.vision(images).pow(2).mean()
            self.optimizer.zero_grad()
            loss.backward(retain_graph=True)
            small.backward()
            self.optimizer.step()

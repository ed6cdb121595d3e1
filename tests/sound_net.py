"""A captioning Net that keeps the whole contract, as text; the defects of the corpora are injected into it."""

SOUND_NET = '''"""A small captioning Net: a convolutional encoder and a transformer decoder."""

import math
from typing import Optional

import torch
import torch.nn as nn
import torch.nn.functional as F
import torchvision.models as models

MAX_LENGTH = 20
WIDTH = 64


def supported_hyperparameters():
    return {'lr', 'momentum'}


class Encoder(nn.Module):
    def __init__(self, channels, width):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 16, kernel_size=3, stride=2, padding=1),
            nn.GroupNorm(4, 16),
            nn.GELU(),
            nn.Conv2d(16, width, kernel_size=3, stride=2, padding=1),
            nn.GroupNorm(8, width),
            nn.GELU(),
        )

    def forward(self, images):
        grid = F.adaptive_avg_pool2d(self.layers(images), (4, 4))
        return grid.flatten(2).transpose(1, 2)


class Positions(nn.Module):
    def __init__(self, width, length):
        super().__init__()
        steps = torch.arange(length).unsqueeze(1)
        rates = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
        table = torch.zeros(length, width)
        table[:, 0::2] = torch.sin(steps * rates)
        table[:, 1::2] = torch.cos(steps * rates)
        self.register_buffer('table', table, persistent=False)

    def forward(self, x):
        return x + self.table[: x.size(1)]


class Net(nn.Module):
    def __init__(self, in_shape: tuple, out_shape: tuple, prm: dict, device: torch.device):
        super().__init__()
        self.device = device
        self.vocab_size = int(out_shape[0])
        self.encoder = Encoder(int(in_shape[1]), WIDTH)
        self.embedding = nn.Embedding(self.vocab_size, WIDTH, padding_idx=0)
        self.positions = Positions(WIDTH, 256)
        layer = nn.TransformerDecoderLayer(WIDTH, nhead=4, dim_feedforward=128, dropout=0.1, batch_first=True)
        self.decoder = nn.TransformerDecoder(layer, num_layers=1)
        self.head = nn.Linear(WIDTH, self.vocab_size)
        self.to(self.device)

    def train_setup(self, prm: dict):
        self.to(self.device)
        self.criterion = nn.CrossEntropyLoss(ignore_index=0, label_smoothing=0.1)
        momentum = min(prm['momentum'], 0.999)
        self.optimizer = torch.optim.AdamW(self.parameters(), lr=prm['lr'], betas=(momentum, 0.999))

    def decode(self, tokens: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
        length = tokens.size(1)
        future = torch.triu(torch.ones(length, length, dtype=torch.bool, device=tokens.device), diagonal=1)
        hidden = self.positions(self.embedding(tokens))
        hidden = self.decoder(hidden, memory, tgt_mask=future)
        return self.head(hidden)

    def forward(self, images, captions=None, hidden_state: Optional[torch.Tensor] = None):
        memory = self.encoder(images.to(self.device)) if hidden_state is None else hidden_state
        if captions is None:
            return self.generate(memory)
        if captions.dim() == 3:
            captions = captions[:, 0, :]
        inputs = captions[:, :-1].long()
        targets = captions[:, 1:]
        logits = self.decode(inputs, memory)
        assert logits.shape == (targets.size(0), targets.size(1), self.vocab_size)
        return logits, memory

    def generate(self, memory):
        tokens = torch.full((memory.size(0), 1), 1, dtype=torch.long, device=memory.device)
        ended = torch.zeros(memory.size(0), dtype=torch.bool, device=memory.device)
        for _ in range(MAX_LENGTH):
            following = self.decode(tokens, memory)[:, -1].argmax(dim=-1)
            following = following.masked_fill(ended, 0)
            tokens = torch.cat([tokens, following.unsqueeze(1)], dim=1)
            ended = ended | (following == 2)
            if bool(ended.all()):
                break
        return tokens[:, 1:]

    def learn(self, train_data):
        self.train()
        total, batches, right, counted = 0.0, 0, 0, 0
        for images, captions in train_data:
            images, captions = images.to(self.device), captions.to(self.device).long()
            if captions.dim() == 2:
                captions = captions.unsqueeze(1)
            sentences = captions.size(1)
            memory = self.encoder(images).repeat_interleave(sentences, dim=0)
            flat = captions.flatten(0, 1)
            logits = self.decode(flat[:, :-1], memory)
            targets = flat[:, 1:]
            known = targets != 0
            if not bool(known.any()):
                continue
            loss = self.criterion(logits.reshape(-1, self.vocab_size), targets.reshape(-1))
            self.optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.parameters(), max_norm=1.0)
            self.optimizer.step()
            total += loss.item()
            batches += 1
            right += int(((logits.argmax(dim=-1) == targets) & known).sum())
            counted += int(known.sum())
        return right / max(counted, 1), total / max(batches, 1)


def unused_backbone():
    return models.resnet18(weights=None)
'''

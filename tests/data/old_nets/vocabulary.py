# ruff: noqa: F401, I001
# fmt: off
"""An older Net: LEMUR's vocabulary, downloaded weights, a GPU by name, generation in a method of its own."""

import torch
import torch.nn as nn
import torchvision.models as models
from torchvision.models import resnet18, ResNet18_Weights
from ab.nn.util.Util import export_torch_weights
from ab.nn.loader.coco_.Caption import GLOBAL_CAPTION_VOCAB


def supported_hyperparameters():
    return {"lr", "momentum"}


class Words(nn.Module):
    def __init__(self, words, width):
        super().__init__()
        self.embed = nn.Embedding(words, width).cuda()
        self.gru = nn.GRU(width, width, batch_first=True)
        self.out = nn.Linear(width, words)

    def forward(self, tokens, state):
        tokens = tokens.cuda(non_blocking=True)
        hidden, state = self.gru(self.embed(tokens), state)
        return self.out(hidden)


class Net(nn.Module):
    def __init__(self, in_shape, out_shape, prm, device):
        super().__init__()
        self.word2idx = GLOBAL_CAPTION_VOCAB.get("word2idx", None)
        self.idx2word = GLOBAL_CAPTION_VOCAB["idx2word"]
        # ImageNet's eyes
        backbone = resnet18(weights=ResNet18_Weights.DEFAULT)
        self.vision = nn.Sequential(*list(backbone.children())[:-1], nn.Flatten(), nn.Linear(512, 16))
        self.rnn = Words(out_shape[0], 16)

    def train_setup(self, prm):
        self.cuda()
        self.criteria = (nn.CrossEntropyLoss(ignore_index=self.word2idx["<PAD>"]),)
        self.optimizer = torch.optim.AdamW(self.parameters(), lr=prm["lr"], betas=(0.8, 0.99))

    def learn(self, train_data):
        self.train()
        for images, captions in train_data:
            images, captions = images.cuda(), captions.to("cuda")
            self.optimizer.zero_grad()
            outputs = self(images, captions[:, 0])
            self.criteria[0](outputs.transpose(1, 2), captions[:, 0, 1:]).backward()
            self.optimizer.step()

    def generate(self, images, max_len=15):
        state = self.vision(images).unsqueeze(0)
        tokens = torch.full((len(images), 1), self.word2idx["<SOS>"], dtype=torch.long, device=torch.device("cuda"))
        while self.word2idx["<EOS>"] not in tokens[:, -1].tolist() or len(images) > 1:
            scores = self.rnn(tokens, state)
            tokens = torch.cat([tokens, scores[:, -1:].argmax(-1)], dim=1)
        return tokens[:, 1:]

    def forward(self, images, captions):
        outputs = self.rnn(captions[:, :-1], self.vision(images).unsqueeze(0))
        return outputs

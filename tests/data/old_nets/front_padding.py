# ruff: noqa: I001, W191
# fmt: off
"""An older Net: logits padded in front, batches unpacked by hand, a gradient scaler, momentum unused."""

import torch
from torch import nn
from torch import optim


def supported_hyperparameters():
	return {'momentum', 'lr'}


class Net(nn.Module):
	def __init__(self, in_shape, out_shape, prm, device):
		super().__init__()
		self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
		self.words = out_shape[0]
		self.max_len = 12
		self.vision = nn.Sequential(nn.Conv2d(in_shape[1], 32, 3, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(2))
		self.embed = nn.Embedding(self.words, 32, padding_idx=0)
		layer = nn.TransformerDecoderLayer(32, 4, 64, batch_first=True)
		self.decoder = nn.TransformerDecoder(layer, 1)
		self.out = nn.Linear(32, self.words)

	def scores(self, tokens, memory):
		length = tokens.size(1)
		mask = torch.triu(torch.full((length, length), float("-inf"), device=tokens.device), diagonal=1)
		return self.out(self.decoder(self.embed(tokens), memory, tgt_mask=mask))

	def look(self, images):
		return self.vision(images).flatten(2).transpose(1, 2)

	def train_setup(self, prm):
		self.to(self.device)
		self.criterion = nn.CrossEntropyLoss(
			label_smoothing=0.05,
		)
		self.optimizer = optim.SGD(
			self.parameters(),
			lr=prm["lr"],
		)
		self.scaler = torch.amp.GradScaler("cuda", enabled=False)

	def learn(self, train_data):
		self.train()
		steps = 2
		for i, batch in enumerate(train_data):
			images, captions = batch
			images = images.to(self.device)
			captions = captions.to(self.device)
			if captions.dim() == 3:
				captions = captions[:, 0]
			memory = self.look(images)
			logits = self.scores(captions[:, :-1], memory)
			loss = self.criterion(logits.flatten(0, 1), captions[:, 1:].flatten())
			if not torch.isfinite(loss):
				continue
			self.scaler.scale(loss / steps).backward()
			if i % steps == 1:
				self.scaler.step(self.optimizer)
				self.scaler.update()
				self.optimizer.zero_grad()

	def forward(
		self,
		images,
		captions=None,
	):
		memory = self.look(images)
		if captions is None:
			tokens = torch.ones(images.size(0), 1, dtype=torch.long, device=images.device)
			ended = torch.zeros_like(tokens, dtype=torch.bool)
			while not ended.all():
				token = self.scores(tokens, memory)[:, -1:].argmax(-1)
				tokens = torch.cat([tokens, token], dim=1)
				ended = ended | (token == 2)
			return tokens[:, 1:]
		if captions.ndim == 3:
			captions = captions[:, 0]
		logits = self.scores(captions[:, :-1], memory)
		# the metric compared position by position
		empty = torch.zeros((captions.size(0), 1, self.words), device=logits.device)
		return torch.cat([empty, logits], dim=1)  # [B, T, V]

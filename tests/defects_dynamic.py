"""Two sound Nets, and defective ones: each a sound one with a single defect that only running it can show."""

# One Net a line, so that the tables can be read down.

from __future__ import annotations

from dataclasses import dataclass

HEAD = """
import torch
from torch import nn
from torch.nn import functional as F

PAD, SOS, EOS = 0, 1, 2
MAX_LENGTH = 20


def supported_hyperparameters():
    return {'lr', 'momentum'}


class Encoder(nn.Module):
    def __init__(self, channels, width):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
            nn.AdaptiveAvgPool2d(2))
        self.project = nn.Linear(32, width)

    def forward(self, images):
        grid = self.layers(images)
        return self.project(grid.flatten(2).transpose(1, 2))
"""

METHODS = """
    def train_setup(self, prm):
        self.to(self.device)
        self.criterion = nn.CrossEntropyLoss(ignore_index=PAD)
        trainable = [p for p in self.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(trainable, lr=prm['lr'], betas=(min(prm['momentum'], 0.999), 0.999))

    def learn(self, train_data):
        self.train()
        total, batches, hits, count = 0.0, 0, 0, 0
        for images, captions in train_data:
            images, captions = images.to(self.device), captions.to(self.device)
            rows = captions.shape[1]
            memory = self.encoder(images).repeat_interleave(rows, dim=0)
            captions = captions.flatten(0, 1)
            logits, _ = self.decode(captions[:, :-1], memory, None)
            targets = captions[:, 1:]
            loss = self.criterion(logits.reshape(-1, self.vocab_size), targets.reshape(-1))
            self.optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.parameters(), 1.0)
            self.optimizer.step()
            total += loss.item()
            batches += 1
            words = targets != PAD
            hits += (logits.argmax(dim=-1) == targets)[words].sum().item()
            count += words.sum().item()
        return hits / max(count, 1), total / max(batches, 1)

    def forward(self, images, captions=None, hidden_state=None):
        memory = self.encoder(images.to(self.device))
        if captions is not None:
            if captions.dim() == 3:
                captions = captions[:, 0]
            logits, hidden_state = self.decode(captions[:, :-1], memory, hidden_state)
            return logits, hidden_state
        return self.generate(memory)
"""

LSTM = (
    HEAD
    + """

class Net(nn.Module):
    def __init__(self, in_shape, out_shape, prm, device):
        super().__init__()
        self.device = device
        self.vocab_size = int(out_shape[0])
        width = 64
        self.encoder = Encoder(in_shape[1], width)
        self.embed = nn.Embedding(self.vocab_size, width, padding_idx=PAD)
        self.first = nn.Linear(width, width)
        self.lstm = nn.LSTM(width, width, batch_first=True)
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Linear(width, self.vocab_size)

    def decode(self, tokens, memory, state):
        if state is None:
            first = torch.tanh(self.first(memory.mean(dim=1))).unsqueeze(0)
            state = (first, torch.zeros_like(first))
        hidden, state = self.lstm(self.embed(tokens), state)
        return self.head(self.dropout(hidden)), state
"""
    + METHODS
    + """
    @torch.no_grad()
    def generate(self, memory):
        token = torch.full((memory.shape[0], 1), SOS, dtype=torch.long, device=memory.device)
        ended = torch.zeros_like(token, dtype=torch.bool)
        state, out = None, []
        for _ in range(MAX_LENGTH):
            logits, state = self.decode(token, memory, state)
            token = logits.argmax(dim=-1)
            token = token.masked_fill(ended, PAD)
            out.append(token)
            ended = ended | (token == EOS)
            if ended.all():
                break
        return torch.cat(out, dim=1)
"""
)

TRANSFORMER = (
    HEAD
    + """

class Net(nn.Module):
    def __init__(self, in_shape, out_shape, prm, device):
        super().__init__()
        self.device = device
        self.vocab_size = int(out_shape[0])
        width = 64
        self.encoder = Encoder(in_shape[1], width)
        self.embed = nn.Embedding(self.vocab_size, width)
        self.register_buffer('position', torch.sin(torch.arange(512).unsqueeze(1) / (torch.arange(width) + 1)))
        layer = nn.TransformerDecoderLayer(width, 4, 128, dropout=0.1, batch_first=True)
        self.decoder = nn.TransformerDecoder(layer, 1)
        self.head = nn.Linear(width, self.vocab_size)

    def decode(self, tokens, memory, state):
        length = tokens.shape[1]
        mask = torch.triu(torch.full((length, length), float('-inf'), device=tokens.device), diagonal=1)
        states = self.embed(tokens) + self.position[:length]
        states = self.decoder(states, memory, tgt_mask=mask)
        return self.head(states), None
"""
    + METHODS
    + """
    @torch.no_grad()
    def generate(self, memory):
        tokens = torch.full((memory.shape[0], 1), SOS, dtype=torch.long, device=memory.device)
        ended = torch.zeros_like(tokens, dtype=torch.bool)
        for _ in range(MAX_LENGTH):
            logits, _ = self.decode(tokens, memory, None)
            token = logits[:, -1:].argmax(dim=-1)
            token = token.masked_fill(ended, PAD)
            tokens = torch.cat([tokens, token], dim=1)
            ended = ended | (token == EOS)
            if ended.all():
                break
        return tokens[:, 1:]
"""
)

SOUND = {"lstm": LSTM, "transformer": TRANSFORMER}


@dataclass(frozen=True)
class Defect:
    """`old` replaced by `new` (and each pair of `more`) in a sound Net breaks `rule`."""

    name: str
    rule: str
    net: str
    old: str
    new: str
    more: tuple[tuple[str, str], ...] = ()

    @property
    def source(self) -> str:
        source = SOUND[self.net]
        for old, new in ((self.old, self.new), *self.more):
            assert old in source, f"{self.name}: the sound Net has no {old!r}"
            source = source.replace(old, new)
        return source


L, T = "lstm", "transformer"
STEP = "            self.optimizer.step()\n"
BACK = "            loss.backward()\n"
ZERO = "            self.optimizer.zero_grad()\n"
RETURN = "return hits / max(count, 1), total / max(batches, 1)"
MASK = "mask = torch.triu(torch.full((length, length), float('-inf'), device=tokens.device), diagonal=1)"
GRID = "return self.project(grid.flatten(2).transpose(1, 2))"
CE = "nn.CrossEntropyLoss(ignore_index=PAD)"
TRAINABLE = "trainable = [p for p in self.parameters() if p.requires_grad]"
PAIR = "            return logits, hidden_state\n"
GENERATE = "        return self.generate(memory)\n"
DECODE = "self.decode(captions[:, :-1], memory, None)"
FORWARD = "            logits, hidden_state = self.decode(captions[:, :-1], memory, hidden_state)\n"
FIVE = "                captions = captions[:, 0]\n"
FILLED = "            token = token.masked_fill(ended, PAD)\n"

DEFECTS = [
    # build
    Defect("import raises", "LC201", L, "MAX_LENGTH = 20", "MAX_LENGTH = int('twenty')"),
    Defect("import divides by zero", "LC201", T, "PAD, SOS, EOS = 0, 1, 2", "PAD, SOS, EOS = 0, 1, 2 // 0"),
    Defect("wrong hyperparameter", "LC202", L, "width = 64", "width = int(prm['hidden_size'])"),
    Defect("heads do not divide width", "LC202", T, "nn.TransformerDecoderLayer(width, 4,", "nn.TransformerDecoderLayer(width, 5,"),
    Defect("unpacks out_shape", "LC202", L, "int(out_shape[0])", "int(out_shape[1])"),
    Defect("forgets super().__init__", "LC202", T, "        super().__init__()\n        self.device", "        self.device"),
    Defect("fails for large vocabulary", "LC202", L, "width = 64", "width = 64\n        torch.zeros(5000)[self.vocab_size]"),
    Defect("fails for gray images", "LC202", T, "width = 64", "width = 64\n        assert in_shape[1] == 3"),
    Defect("wide layer of words by words", "LC203", L, "nn.Embedding(self.vocab_size, width, padding_idx=PAD)",
           "nn.Embedding(self.vocab_size, width, padding_idx=PAD)\n        self.pairs = nn.Linear(self.vocab_size * 20, 1024)"),
    Defect("huge layer", "LC203", T, "width = 64", "width = 64\n        self.huge = nn.Linear(20000, 20000, device='meta')"),
    Defect("everything frozen", "LC204", L, "nn.Linear(width, self.vocab_size)",
           "nn.Linear(width, self.vocab_size)\n        self.requires_grad_(False)"),
    Defect("everything frozen in a loop", "LC204", T, "nn.Linear(width, self.vocab_size)",
           "nn.Linear(width, self.vocab_size)\n        for p in self.parameters():\n            p.requires_grad = False"),
    Defect("train_setup reads a missing name", "LC205", L, "prm['lr']", "prm['learning_rate']"),
    Defect("beta of 1", "LC205", T, "min(prm['momentum'], 0.999)", "prm['momentum'] + 0.2"),
    Defect("criterion without ignore_index", "LC206", L, CE, "nn.CrossEntropyLoss()"),
    Defect("criterion ignores another index", "LC206", T, CE, "nn.CrossEntropyLoss(ignore_index=3)"),
    Defect("smoothed criterion counts padding", "LC206", T, CE, "nn.CrossEntropyLoss(label_smoothing=0.1)"),
    Defect("no criterion", "LC206", L, "self.criterion = " + CE, "self.loss = " + CE),
    Defect("criterion of another kind", "LC206", T, CE, "nn.MSELoss()"),
    Defect("optimizer over the head", "LC207", L, TRAINABLE, "trainable = list(self.head.parameters())"),
    Defect("optimizer without the encoder", "LC207", T, TRAINABLE,
           "trainable = [p for n, p in self.named_parameters() if not n.startswith('encoder')]"),
    Defect("optimizer without biases", "LC207", L, TRAINABLE, "trainable = [p for p in self.parameters() if p.dim() > 1]"),
    Defect("no optimizer", "LC207", T, "self.optimizer = torch", "self.solver = torch"),
    # shapes
    Defect("memory of another width", "LC301", L, "self.first(memory.mean(dim=1))", "self.first(memory.flatten(1))"),
    Defect("decoder of another width", "LC301", T, "self.embed(tokens) + self.position[:length]",
           "torch.cat([self.embed(tokens), self.embed(tokens)], dim=-1)"),
    Defect("state without layer axis", "LC301", L, ".unsqueeze(0)\n", "\n"),
    Defect("mask of another length", "LC301", T, "(length, length)", "(length + 1, length + 1)"),
    Defect("flattened logits", "LC302", L, "            return logits, hidden_state", "            return logits.flatten(0, 1), hidden_state"),
    Defect("logits for T positions", "LC302", T, FORWARD, FORWARD.replace("captions[:, :-1]", "captions")),
    Defect("vocabulary axis second", "LC302", L, "            return logits, hidden_state", "            return logits.transpose(1, 2), hidden_state"),
    Defect("one word too few", "LC302", T, "nn.Linear(width, self.vocab_size)", "nn.Linear(width, self.vocab_size - 1)"),
    Defect("last position only", "LC302", L, "            return logits, hidden_state", "            return logits[:, -1], hidden_state"),
    Defect("ids instead of logits", "LC302", T, "            return logits, hidden_state", "            return logits.argmax(-1), hidden_state"),
    Defect("logits alone", "LC303", L, PAIR, "            return logits\n"),
    Defect("three values", "LC303", T, PAIR, "            return logits, hidden_state, memory\n"),
    Defect("dictionary", "LC303", L, PAIR, "            return {'logits': logits, 'hidden_state': hidden_state}\n"),
    Defect("no five captions", "LC304", L, FIVE, "                pass\n"),
    Defect("the last caption", "LC304", T, FIVE, "                captions = captions[:, -1]\n"),
    Defect("all five captions", "LC304", L, FIVE,
           "                memory = memory.repeat_interleave(5, dim=0)\n                captions = captions.flatten(0, 1)\n"),
    Defect("inference needs captions", "LC305", L, GENERATE, "        return self.decode(captions[:, :-1], memory, None)[0]\n"),
    Defect("stack of nothing", "LC305", T, "for _ in range(MAX_LENGTH):", "tokens = None\n        for _ in range(MAX_LENGTH):"),
    Defect("every row says the first row's words", "LC506", L, "token = logits.argmax(dim=-1)\n", "token = logits.argmax(dim=-1)[0]\n"),
    Defect("token without time axis", "LC506", L, "token = logits.argmax(dim=-1)\n", "token = logits.argmax(dim=-1).squeeze(1)\n"),
    Defect("inference gives a pair", "LC306", L, GENERATE, "        return self.generate(memory), None\n"),
    Defect("inference gives lists", "LC306", T, GENERATE, "        return self.generate(memory).tolist()\n"),
    Defect("inference time first", "LC306", L, "return torch.cat(out, dim=1)", "return torch.cat(out, dim=1).t()"),
    Defect("inference gives floats", "LC306", T, "return tokens[:, 1:]", "return tokens[:, 1:].float()"),
    Defect("inference gives None", "LC306", L, GENERATE, "        self.generate(memory)\n"),
    Defect("arg max over the batch", "LC307", L, "return torch.cat(out, dim=1)", "return torch.cat(out, dim=1) + self.vocab_size"),
    Defect("negative ids", "LC307", T, "return tokens[:, 1:]", "return tokens[:, 1:] - 90"),
    Defect("endless generation", "LC308", L, "for _ in range(MAX_LENGTH):", "while True:"),
    Defect("very long generation", "LC308", L, "MAX_LENGTH = 20", "MAX_LENGTH = 400"),
    Defect("endless generation, Transformer", "LC308", T, "for _ in range(MAX_LENGTH):", "while not ended.all():"),
    Defect("squeezes the batch away", "LC309", L, "memory = self.encoder(images.to(self.device))", "memory = self.encoder(images.to(self.device)).squeeze(0)"),
    Defect("squeezes inference", "LC309", T, "return tokens[:, 1:]", "return tokens[:, 1:].squeeze()"),
    Defect("batch norm on the pooled image", "LC309", L, "nn.AdaptiveAvgPool2d(2))", "nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(32))"),
    Defect("batch size of in_shape", "LC310", L, "token = torch.full((memory.shape[0], 1)", "token = torch.full((4, 1)"),
    Defect("keeps the batch size", "LC310", T, "        length = tokens.shape[1]\n",
           "        length = tokens.shape[1]\n        self.seen = getattr(self, 'seen', memory.shape[0])\n"
           "        memory = memory.view(-1, 4, 64) if tokens.shape[0] > 4 else memory.view(self.seen, 4, 64)\n"),
    Defect("flattens a fixed grid", "LC311", L, "nn.AdaptiveAvgPool2d(2))", "nn.AvgPool2d(8))",
           (("nn.Linear(32, width)", "nn.Linear(32 * 4, width)"), (GRID, "return self.project(grid.flatten(1)).unsqueeze(1)"))),
    Defect("kernel larger than a small image", "LC311", T, "nn.AdaptiveAvgPool2d(2))", "nn.Conv2d(32, 32, 9), nn.AdaptiveAvgPool2d(2))"),
    Defect("logarithm of a negative", "LC312", T, "return self.head(states), None", "return self.head(torch.log(states)), None"),
    Defect("division by zero", "LC312", L, "return self.head(self.dropout(hidden)), state", "return self.head(self.dropout(hidden)) / (tokens * 0.0).unsqueeze(-1), state"),
    # training
    Defect("learn unpacks three", "LC401", L, "for images, captions in train_data:", "for images, captions, _ in train_data:"),
    Defect("learn reshapes wrongly", "LC401", T, "targets.reshape(-1))", "captions.reshape(-1))"),
    Defect("learn indexes the loader", "LC401", L, "for images, captions in train_data:", "for images, captions in [train_data[0]]:"),
    Defect("learn keeps the graph", "LC401", T, "            total += loss.item()\n", "            total += loss.item()\n            loss.backward()\n"),
    Defect("learn returns None", "LC402", L, RETURN, "return None"),
    Defect("learn returns the loss alone", "LC402", T, RETURN, "return total / max(batches, 1)"),
    Defect("learn returns text", "LC402", L, RETURN, "return 'accuracy', 'loss'"),
    Defect("accuracy in percent", "LC403", L, "return hits / max(count, 1)", "return 100 * (hits + 1) / max(count, 1)"),
    Defect("loss of infinity", "LC403", T, "total / max(batches, 1)", "total / max(batches, 1) * float('inf')"),
    Defect("loss of NaN", "LC403", L, "            total += loss.item()", "            total += loss.item() + float('nan')"),
    Defect("unused layer", "LC404", L, "nn.Linear(width, self.vocab_size)", "nn.Linear(width, self.vocab_size)\n        self.extra = nn.Linear(width, width)"),
    Defect("detached encoder", "LC404", T, "self.encoder(images).repeat_interleave", "self.encoder(images).detach().repeat_interleave"),
    Defect("encoder without gradient", "LC404", L, "            memory = self.encoder(images).repeat",
           "            with torch.no_grad():\n                features = self.encoder(images)\n            memory = features.repeat"),
    Defect("no step", "LC405", L, STEP, ""),
    Defect("learning rate of zero", "LC405", T, "lr=prm['lr']", "lr=prm['lr'] * 0, weight_decay=0.0"),
    Defect("clears the gradients before the step", "LC405", L, STEP, "            self.optimizer.zero_grad()\n" + STEP),
    Defect("clips to nothing", "LC405", T, "clip_grad_norm_(self.parameters(), 1.0)", "clip_grad_value_(self.encoder.parameters(), 0.0)"),
    Defect("climbs", "LC406", L, BACK, "            (-loss).backward()\n"),
    Defect("random targets", "LC406", T, "targets.reshape(-1))", "torch.randint(30, 80, targets.reshape(-1).shape))"),
    Defect("mixed axes", "LC406", L, "logits.reshape(-1, self.vocab_size)", "logits.transpose(1, 2).reshape(-1, self.vocab_size)"),
    Defect("learning rate a thousand times too small", "LC406", T, "lr=prm['lr']", "lr=prm['lr'] * 1e-4"),
    Defect("learning rate of infinity", "LC407", L, "lr=prm['lr']", "lr=prm['lr'] * 1e30"),
    Defect("weights grow without bound", "LC407", T, STEP, STEP + "            with torch.no_grad():\n                self.head.weight.mul_(float('inf'))\n"),
    Defect("mean loss of each row", "LC408", L, "loss = self.criterion(logits.reshape(-1, self.vocab_size), targets.reshape(-1))",
           "loss = torch.stack([self.criterion(a, b) for a, b in zip(logits, targets)]).mean()"),
    Defect("asserts words", "LC408", T, "            targets = captions[:, 1:]\n", "            targets = captions[:, 1:]\n            assert (targets != PAD).any(dim=1).all()\n"),
    Defect("attention over one key", "LC409", L, "        self.dropout = nn.Dropout(0.1)\n",
           "        self.dropout = nn.Dropout(0.1)\n        self.score = nn.Linear(width, 1)\n",
           (("self.first(memory.mean(dim=1))", "self.first(memory.mean(dim=1) * torch.softmax(self.score(memory.mean(dim=1)), dim=-1))"),)),
    Defect("copies its input", "LC410", L, "            targets = captions[:, 1:]\n", "            targets = captions[:, :-1]\n"),
    Defect("copies its input, Transformer", "LC410", T, "            targets = captions[:, 1:]\n", "            targets = captions[:, :-1]\n"),
    Defect("skips a word", "LC410", L, "            targets = captions[:, 1:]\n", "            targets = F.pad(captions[:, 2:], (0, 1))\n"),
    # meaning
    Defect("no mask", "LC501", T, "tgt_mask=mask", "tgt_mask=None"),
    Defect("mask the wrong way round", "LC501", T, MASK, MASK.replace("triu", "tril").replace("diagonal=1", "diagonal=-1")),
    Defect("mask off by one", "LC501", T, "diagonal=1)", "diagonal=2)"),
    Defect("two directions", "LC501", L, "hidden, state = self.lstm(self.embed(tokens), state)",
           "hidden, state = self.lstm(self.embed(tokens), state)\n        hidden = hidden + self.lstm(self.embed(tokens).flip(1))[0].flip(1)"),
    Defect("mean over time", "LC501", L, "return self.head(self.dropout(hidden)), state", "return self.head(self.dropout(hidden - hidden.mean(dim=1, keepdim=True))), state"),
    Defect("convolution over time", "LC501", T, "states = self.decoder(", "states = F.avg_pool1d(states.transpose(1, 2), 3, 1, 1).transpose(1, 2)\n        states = self.decoder("),
    Defect("first state of zeros", "LC502", L, "torch.tanh(self.first(memory.mean(dim=1)))", "0 * torch.tanh(self.first(memory.mean(dim=1)))"),
    Defect("memory of ones", "LC502", T, "self.decoder(states, memory, tgt_mask=mask)", "self.decoder(states, memory * 0 + 1, tgt_mask=mask)"),
    Defect("softmax over one value", "LC502", L, GRID, "return self.project(torch.softmax(grid.mean(dim=(2, 3)).unsqueeze(-1), dim=-1).transpose(1, 2))"),
    Defect("image only in training", "LC502", T, GRID, GRID.replace("return ", "features = ") + "\n        return features if self.training else torch.zeros_like(features)"),
    Defect("zeroes the encoder in learn", "LC503", L, STEP, STEP + "            with torch.no_grad():\n                self.encoder.project.weight.mul_(0)\n"),
    Defect("saturates the encoder", "LC503", T, STEP, STEP + "            with torch.no_grad():\n                self.encoder.layers[5].inplace = False\n                self.encoder.layers[4].bias.fill_(-1e6)\n"),
    Defect("normalizes over time", "LC504", L, "return self.head(self.dropout(hidden)), state",
           "return self.head(self.dropout(hidden / hidden.shape[1])), state"),
    Defect("position from the end", "LC504", T, "self.position[:length]", "self.position[:length].flip(0)"),
    Defect("padding mixed in", "LC504", T, "return self.head(states), None", "return self.head(states + (tokens == PAD).float().mean()), None"),
    Defect("functional loss counts padding", "LC505", L, "loss = self.criterion(", "loss = F.cross_entropy("),
    Defect("loss over all positions", "LC505", T, "loss = self.criterion(logits.reshape(-1, self.vocab_size), targets.reshape(-1))",
           "loss = F.cross_entropy(logits.reshape(-1, self.vocab_size), targets.reshape(-1), ignore_index=PAD, reduction='sum') / targets.numel()"),
    Defect("batch statistics in eval", "LC506", L, "grid = self.layers(images)", "grid = self.layers(images)\n        grid = grid - grid.mean(dim=0, keepdim=True)"),
    Defect("batch norm without running statistics", "LC506", T, "nn.BatchNorm2d(32)", "nn.BatchNorm2d(32, track_running_stats=False)"),
    Defect("time and batch mixed up", "LC506", L, "hidden, state = self.lstm(self.embed(tokens), state)",
           "hidden, state = self.lstm(self.embed(tokens), state)\n        hidden = hidden + hidden.roll(1, dims=0)"),
    Defect("attends over the batch", "LC506", T, "states = self.decoder(states, memory, tgt_mask=mask)",
           "states = self.decoder(states, memory.mean(dim=0, keepdim=True) + 0.1 * memory, tgt_mask=mask)"),
    Defect("dropout in eval", "LC507", L, "self.head(self.dropout(hidden))", "self.head(F.dropout(hidden, 0.5, True))"),
    Defect("samples its words", "LC507", L, "token = logits.argmax(dim=-1)\n", "token = torch.multinomial(logits[:, -1].softmax(dim=-1), 1)\n"),
    Defect("noise on the image", "LC507", T, "grid = self.layers(images)", "grid = self.layers(images + torch.randn_like(images))"),
    Defect("remembers the last call", "LC507", L, "        hidden, state = self.lstm(self.embed(tokens), state)\n",
           "        hidden, state = self.lstm(self.embed(tokens), state)\n        self.calls = getattr(self, 'calls', 0) + 1\n        hidden = hidden + self.calls % 2\n"),
    Defect("words after the end", "LC508", L, FILLED, ""),
    Defect("words after the end, Transformer", "LC508", T, FILLED, ""),
    Defect("stops at another word", "LC508", L, "(token == EOS)", "(token == 3)"),
    Defect("ignores its words", "LC509", L, "self.lstm(self.embed(tokens), state)", "self.lstm(self.embed(tokens * 0 + SOS), state)"),
    Defect("positions instead of words", "LC509", T, "self.embed(tokens) + self.position[:length]", "self.embed(tokens * 0 + SOS) + self.position[:length]"),
]  # fmt: skip

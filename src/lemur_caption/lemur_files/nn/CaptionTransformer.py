# Part of lemur-caption (MIT licence); written by `lemur-caption register`.
"""CaptionTransformer: a ResNet encoder and a Transformer decoder that attends to the image grid.

After Vaswani et al., "Attention Is All You Need", NeurIPS 2017, with the layer normalization before each sublayer
(Xiong et al., "On Layer Normalization in the Transformer Architecture", ICML 2020), which needs no warm-up.

Token ids: 0 <PAD>, 1 <SOS>, 2 <EOS>, 3 <UNK>.
"""

import math

import torch
from torch import nn
from torchvision.models import ResNet50_Weights, resnet50
from torchvision.models.resnet import BasicBlock

PAD, SOS, EOS = 0, 1, 2
MAX_LENGTH = 24
LENGTH_PENALTY = 0.7  # how much beam search makes up for length: not at all at 0, mean log-probability near 1
WIDTHS = (24, 48, 96)
HIDDEN = 128
HEADS = 4
LAYERS = 2
DROPOUT = 0.1


def supported_hyperparameters():
    return {"lr", "momentum"}


def small_resnet(channels):
    """Residual stages at strides 2, 4 and 8: [B, channels, H, W] -> [B, WIDTHS[-1], H / 8, W / 8]."""
    layers = [
        nn.Conv2d(channels, WIDTHS[0], kernel_size=3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(WIDTHS[0]),
        nn.ReLU(inplace=True),
        BasicBlock(WIDTHS[0], WIDTHS[0]),
    ]
    for narrow, wide in zip(WIDTHS, WIDTHS[1:]):
        shortcut = nn.Sequential(nn.Conv2d(narrow, wide, kernel_size=1, stride=2, bias=False), nn.BatchNorm2d(wide))
        layers.append(BasicBlock(narrow, wide, stride=2, downsample=shortcut))
    return nn.Sequential(*layers)


def pretrained_resnet():
    """ResNet-50 with ImageNet weights from torch.hub's checkpoint folder, frozen. Never downloads: FileNotFoundError."""
    path = torch.hub.get_dir() + "/checkpoints/" + ResNet50_Weights.DEFAULT.url.rpartition("/")[2]
    resnet = resnet50(weights=None)
    try:
        resnet.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except FileNotFoundError as error:
        message = f"no pretrained weights at {path}: put the file there, or train with pretrained 0"
        raise FileNotFoundError(message) from error
    return nn.Sequential(*list(resnet.children())[:-2]).requires_grad_(False)


class Encoder(nn.Module):
    """An image as a grid of feature vectors: [B, C, H, W] -> [B, P, hidden].

    The grid has a cell for every 16 pixels, but at least 4 x 4 and at most 7 x 7 cells: P is 16 at 64 px and 49 from 112 px on.
    """

    def __init__(self, channels, side, hidden, pretrained):
        super().__init__()
        grid = min(max(side // 16, 4), 7)
        self.frozen = pretrained
        self.backbone = pretrained_resnet() if pretrained else small_resnet(channels)
        self.pool = nn.AdaptiveAvgPool2d(grid)
        self.project = nn.Linear(2048 if pretrained else WIDTHS[-1], hidden)
        # A convolution sees the same thing everywhere; "left" and "above" need to know where.
        self.position = nn.Parameter(torch.randn(1, grid * grid, hidden) * 0.02)
        self.norm = nn.LayerNorm(hidden)

    def train(self, mode=True):
        """The batch statistics of a frozen backbone stay those of ImageNet."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self

    def forward(self, images):
        if self.frozen and images.shape[1] == 1:
            images = images.expand(-1, 3, -1, -1)
        grid = self.pool(self.backbone(images)).flatten(2).transpose(1, 2)
        return self.norm(self.project(grid) + self.position)


def project(attention, states, first=0, last=3):
    """Projections of an nn.MultiheadAttention (0 queries, 1 keys, 2 values) of states [B, T, H], split into heads.

    Gives those from first to before last, [last - first, B, HEADS, T, H / HEADS].
    """
    rows = slice(first * HIDDEN, last * HIDDEN)
    projected = states @ attention.in_proj_weight[rows].T + attention.in_proj_bias[rows]
    return projected.unflatten(2, (-1, HEADS, HIDDEN // HEADS)).permute(2, 0, 3, 1, 4)


def attend(attention, query, keys, values):
    """What an nn.MultiheadAttention gives for queries, keys and values that are projected and split already."""
    weights = (query @ keys.transpose(2, 3) * query.size(3) ** -0.5).softmax(dim=-1)
    return attention.out_proj((weights @ values).transpose(1, 2).flatten(2))


class Decoder(nn.Module):
    """Transformer layers over the words so far, with cross-attention to the image grid."""

    def __init__(self, vocab_size, hidden):
        super().__init__()
        self.scale = math.sqrt(hidden)
        self.embed = nn.Embedding(vocab_size, hidden, padding_idx=PAD)
        nn.init.normal_(self.embed.weight[1:], std=hidden**-0.5)
        layer = nn.TransformerDecoderLayer(
            hidden,
            HEADS,
            dim_feedforward=2 * hidden,
            dropout=DROPOUT,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.layers = nn.TransformerDecoder(layer, LAYERS, norm=nn.LayerNorm(hidden))
        self.dropout = nn.Dropout(DROPOUT)
        self.output = nn.Linear(hidden, vocab_size)

    def positions(self, length, device):
        """Sines and cosines of the position in a caption, [length, hidden]; no length is too long."""
        half = self.embed.embedding_dim // 2
        rates = torch.exp(torch.arange(half, device=device) * (-math.log(10000.0) / half))
        angles = torch.arange(length, device=device).unsqueeze(1) * rates
        return torch.cat([angles.sin(), angles.cos()], dim=-1)

    def embed_from(self, start, tokens):
        """tokens [B, T] at the positions from start on -> [B, T, hidden]."""
        positions = self.positions(start + tokens.shape[1], tokens.device)[start:]
        return self.embed(tokens) * self.scale + positions

    def forward(self, tokens, memory):
        """tokens [B, T], memory [B, P, hidden] -> logits [B, T, V]; position t sees the tokens up to t."""
        length = tokens.shape[1]
        words = self.dropout(self.embed_from(0, tokens))
        # Padding stands behind the words and is hidden from them by this mask alone.
        later = torch.ones(length, length, dtype=torch.bool, device=tokens.device).triu(diagonal=1)
        return self.output(self.layers(words, memory, tgt_mask=later, tgt_is_causal=True))

    def look(self, memory):
        """Each layer's keys and values of the memory, [2, B, HEADS, P, hidden / HEADS]; the same for every word."""
        return [project(layer.multihead_attn, memory, first=1) for layer in self.layers.layers]

    def step(self, token, image, state=None):
        """One token [B, 1] -> logits [B, 1, V] of the next, as forward gives them, and the state to go on from.

        The state is each layer's keys and values of the tokens so far, [2, B, HEADS, T, hidden / HEADS]; None starts a
        caption. image is what look gives.
        """
        x = self.embed_from(0 if state is None else state[0].shape[3], token)
        longer = []
        for i, layer in enumerate(self.layers.layers):
            own, cross = layer.self_attn, layer.multihead_attn
            projected = project(own, layer.norm1(x))
            past = projected[1:] if state is None else torch.cat([state[i], projected[1:]], dim=3)
            longer.append(past)
            x = x + attend(own, projected[0], *past)
            x = x + attend(cross, *project(cross, layer.norm2(x), last=1), *image[i])
            x = x + layer.linear2(layer.activation(layer.linear1(layer.norm3(x))))
        return self.output(self.layers.norm(x)), longer


def extend(scores, words, finished, logits):
    """The best captions with one more word each, from scores, words and finished [B, K] and logits [B, K, V].

    Best is the log-probability over ((5 + words) / 6) ** LENGTH_PENALTY (Wu et al. 2016, arXiv:1609.08144, eq. 14).
    Gives the caption and the word that each new one is made of, and its scores, words and finished, [B, K], best first.
    """
    chances = logits.log_softmax(dim=-1).masked_fill(finished.unsqueeze(2), -math.inf)
    # A finished caption goes on with padding, at no cost.
    chances[..., PAD] = chances[..., PAD].masked_fill(finished, 0.0)
    totals = scores.unsqueeze(2) + chances
    words = words + ~finished
    ranks = totals / ((5 + words.unsqueeze(2)) / 6) ** LENGTH_PENALTY
    chosen = ranks.flatten(1).topk(scores.size(1)).indices
    caption, word = chosen // logits.size(2), chosen % logits.size(2)
    finished = finished.gather(1, caption) | (word == EOS)
    return caption, word, totals.flatten(1).gather(1, chosen), words.gather(1, caption), finished


class Net(nn.Module):
    """Captioning Net. in_shape (B, C, H, W); out_shape (vocabulary size,); prm: lr, momentum, optionally pretrained."""

    def __init__(self, in_shape, out_shape, prm, device):
        super().__init__()
        self.device = device
        self.vocab_size = int(out_shape[0])
        self.encoder = Encoder(in_shape[1], min(in_shape[2:]), HIDDEN, bool(prm.get("pretrained")))
        self.decoder = Decoder(self.vocab_size, HIDDEN)
        self.to(device)

    def train_setup(self, prm):
        """Loss and optimizer; momentum is AdamW's decay of the mean gradient (beta 1)."""
        self.to(self.device)
        self.criterion = nn.CrossEntropyLoss(ignore_index=PAD)
        trainable = [parameter for parameter in self.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(trainable, lr=prm["lr"], betas=(min(prm["momentum"], 0.999), 0.999))

    def learn(self, train_data):
        """One epoch over batches of images [B, C, H, W] and captions [B, 5, T]: (token accuracy, mean loss in nats)."""
        self.train()
        loss_sum, hits, count = 0.0, 0, 0
        for images, captions in train_data:
            images, captions = images.to(self.device), captions.to(self.device)
            present = (captions[:, :, 1:] != PAD).any(dim=-1)
            if not present.any():
                continue
            # Each image is encoded once; its memory is repeated for the captions that it has.
            memory = self.encoder(images).repeat_interleave(present.sum(dim=1), dim=0)
            captions = captions[present]
            targets = captions[:, 1:]
            logits = self.decoder(captions[:, :-1], memory)
            loss = self.criterion(logits.flatten(0, 1), targets.flatten())
            self.optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.parameters(), 1.0)
            self.optimizer.step()

            words = targets != PAD
            tokens = int(words.sum())
            loss_sum += loss.item() * tokens
            hits += int((logits.argmax(dim=-1) == targets)[words].sum())
            count += tokens
        return hits / max(count, 1), loss_sum / max(count, 1)

    def forward(self, images, captions=None, hidden_state=None):
        """Teacher forcing with captions [B, T] or [B, 5, T], of which the first counts: (logits [B, T-1, V], memory).

        Without captions: greedy ids, long [B, L], L at most MAX_LENGTH, 0 after <EOS>.
        hidden_state is the memory [B, P, HIDDEN] of an earlier call; the images are not encoded again.
        """
        memory = self.encoder(images.to(self.device)) if hidden_state is None else hidden_state
        if captions is None:
            return self.generate(memory)
        if captions.dim() == 3:
            captions = captions[:, 0]
        inputs = captions[:, :-1].to(self.device)
        logits = self.decoder(inputs, memory)
        assert logits.shape == (*inputs.shape, self.vocab_size), (logits.shape, inputs.shape)
        return logits, memory

    @torch.no_grad()
    def generate(self, memory):
        """The likeliest next word, again and again, until every caption has ended."""
        image, state = self.decoder.look(memory), None
        token = torch.full((len(memory), 1), SOS, dtype=torch.long, device=memory.device)
        ended = torch.zeros_like(token, dtype=torch.bool)
        caption = []
        for _ in range(MAX_LENGTH):
            logits, state = self.decoder.step(token, image, state)
            token = logits.argmax(dim=-1).masked_fill(ended, PAD)
            caption.append(token)
            ended = ended | (token == EOS)
            if ended.all():
                break
        return torch.cat(caption, dim=1)

    @torch.no_grad()
    def beam_search(self, images, beam_size=3):
        """The best of the beam_size captions kept for each image at every word: ids [B, L], 0 after <EOS>."""
        memory = self.encoder(images.to(self.device)).repeat_interleave(beam_size, dim=0)
        image, state = self.decoder.look(memory), None
        ids = torch.full((memory.size(0), 1), SOS, dtype=torch.long, device=memory.device)
        first = torch.arange(0, memory.size(0), beam_size, device=memory.device)  # each image's first row
        # All captions of an image start alike, so at the first word the first one alone counts.
        scores = torch.full((first.size(0), beam_size), -math.inf, device=memory.device)
        scores[:, 0] = 0.0
        beams = scores, torch.zeros_like(scores), torch.zeros_like(scores, dtype=torch.bool)
        for _ in range(MAX_LENGTH):
            logits, state = self.decoder.step(ids[:, -1:], image, state)
            caption, word, *beams = extend(*beams, logits.view(first.size(0), beam_size, -1))
            rows = (first.unsqueeze(1) + caption).flatten()
            ids = torch.cat([ids[rows], word.view(-1, 1)], dim=1)
            if beams[2].all():
                break
            state = [past[:, rows] for past in state]
        return ids[first, 1:]

"""Greedy and beam search with caches give what their definitions give, word for word, for every kind of decoder."""

import itertools

import pytest
import torch

from lemur_caption.lemur import registry
from rendered_net import EOS, PAD, SOS, build, load, with_fields

BASELINES = {item.name: item.text for item in registry.items() if item.kind == "nn"}
READING = [
    (decoder, memory, attention)
    for decoder in ("lstm", "gru", "transformer")
    for memory, attention in (("grid", "additive"), ("grid", "dot"), ("grid", "none"), ("token", "none"))
    if decoder != "transformer" or attention == "none"
]
KINDS = [*BASELINES, *itertools.product(READING, (1, 2), (False, True))]


class Given(torch.nn.Module):
    """Stands in for the encoder: memory [B, S, H] of images [B, 1, 1, 1] that hold their row."""

    def __init__(self, memory):
        super().__init__()
        self.memory = torch.nn.Parameter(memory)

    def forward(self, images):
        return self.memory[images.flatten().long()]


def net_of(kind, vocabulary=17, images=6):
    """An untrained Net in float64, where no two words are equally likely, and numbered images that it tells apart."""
    torch.manual_seed(7)
    if isinstance(kind, str):
        net = load(BASELINES[kind], vocabulary=vocabulary)
    else:
        (decoder, memory, attention), layers, tied = kind
        fields = {"decoder": decoder, "memory": memory, "attention": attention, "layers": layers}
        net = build(
            with_fields(**fields, tied_embeddings=tied, width=16, depth=1, hidden_size=128), vocabulary=vocabulary
        )
    with torch.no_grad():
        memory = net.encoder(torch.randn(images, 3, 32, 32))
    net.encoder = Given(torch.randn_like(memory))
    # As its weights come, a Net says one word again and again.
    with torch.no_grad():
        for parameter in net.decoder.parameters():
            parameter.mul_(2.5 if parameter.dim() > 1 else 1.0)
        net.decoder.output.bias[EOS] += 0.5
    return net.double().eval(), torch.arange(images, dtype=torch.float64).view(-1, 1, 1, 1)


def constants(net):
    """The module constants of the Net's file."""
    return type(net).forward.__globals__


@torch.no_grad()
def chances(net, images, ids):
    """Log-probabilities [N, L, V] of the words ids [N, L], each after all words before it: teacher forcing."""
    forced, _ = net(images, torch.nn.functional.pad(ids, (1, 0), value=SOS))
    return forced.log_softmax(dim=-1)


def slow_greedy(net, images):
    """The definition: run the whole prefix again for every word."""
    ids = torch.zeros(len(images), 0, dtype=torch.long)
    for _ in range(constants(net)["MAX_LENGTH"]):
        longer = torch.nn.functional.pad(ids, (0, 1))
        word = chances(net, images, longer)[:, -1].argmax(dim=-1)
        longer[:, -1] = word.masked_fill((ids == EOS).any(dim=1), PAD)
        ids = longer
        if (ids == EOS).any(dim=1).all():
            break
    return ids


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_greedy_with_a_cache_is_the_slow_loop(kind):
    net, images = net_of(kind)
    ids = net(images)
    assert ids.tolist() == slow_greedy(net, images).tolist()
    assert len({tuple(row) for row in ids.tolist()}) > 1, "one caption for all images shows nothing"
    assert net.beam_search(images, 1).tolist() == ids.tolist()


def every_caption(vocabulary, length):
    """All captions of up to `length` words: nothing but padding after <EOS>, which those of full length may lack."""
    for words in itertools.product(range(vocabulary), repeat=length):
        if EOS not in words or not any(words[words.index(EOS) + 1 :]):
            yield words


def exhaustive(net, image, captions):
    """The best caption of one image: log-probability over ((5 + words) / 6) ** 0.7, equation 14 of Wu et al. 2016."""
    ids = torch.tensor(captions)
    known = chances(net, image.expand(len(ids), -1, -1, -1), ids).gather(2, ids.unsqueeze(2)).squeeze(2)
    counted = (ids == EOS).cumsum(dim=1) - (ids == EOS).int() == 0
    scores = (known * counted).sum(dim=1) / ((5 + counted.sum(dim=1)) / 6) ** 0.7
    return ids[scores.argmax()].tolist()


@pytest.mark.parametrize("kind", [*BASELINES, *((reading, 2, False) for reading in READING)], ids=str)
def test_a_beam_that_drops_nothing_finds_the_best_caption_there_is(kind, monkeypatch):
    net, images = net_of(kind, vocabulary=5, images=8)
    monkeypatch.setitem(constants(net), "MAX_LENGTH", 3)
    captions = list(every_caption(5, 3))
    best = [exhaustive(net, image, captions) for image in images]
    found = net.beam_search(images, beam_size=len(captions))
    assert torch.nn.functional.pad(found, (0, 3 - found.size(1))).tolist() == best
    assert best != net(images).tolist(), "where greedy finds the best too, this shows nothing"


@pytest.mark.parametrize("kind", [*BASELINES, (READING[0], 2, True), (READING[-2], 2, True)], ids=str)
def test_beams_of_other_images_change_nothing(kind):
    net, images = net_of(kind)
    together = net.beam_search(images, beam_size=3)
    assert together.dtype == torch.long and together.size(1) <= constants(net)["MAX_LENGTH"]
    for row, image in zip(together.tolist(), images, strict=True):
        alone = net.beam_search(image.unsqueeze(0), beam_size=3)[0].tolist()
        assert row == alone + [PAD] * (len(row) - len(alone))
        assert EOS not in row or not any(row[row.index(EOS) + 1 :])
    assert any(EOS in row for row in together.tolist())

"""Every design builds, trains and keeps the Net API: random designs, rendered and run."""

import random
from typing import NamedTuple

import pytest
import torch

from lemur_caption.architecture import Design, json_schema, random_design
from lemur_caption.architecture.space import choices
from rendered_net import DECODERS, EOS, PAD, SOS, VOCABULARY, batch, build, with_fields

CHUNKS, CHUNK = 8, 8
BLOCKS = choices()["block"]


class Case(NamedTuple):
    design: Design
    net: torch.nn.Module
    images: torch.Tensor
    captions: torch.Tensor


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def case(design, seed=0, side=32):
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    return Case(design, build(design, side=side), *batch(generator, side=side))


def check_teacher_forcing(case):
    case.net.eval()
    logits, state = case.net(case.images, case.captions)
    assert logits.shape == (2, 6, VOCABULARY)
    assert torch.isfinite(logits).all()
    assert state is not None
    # [B, 5, T] means its first caption.
    torch.testing.assert_close(case.net(case.images, case.captions[:, 0])[0], logits, rtol=0, atol=0)
    return logits


def check_meaning(case, logits):
    """Causal, blind to padding and to batch-mates, not blind to the image. Tolerance: float32 sums in another order."""
    later = case.captions[:, 0].clone()
    later[:, 4:] = 5
    changed, _ = case.net(case.images, later)
    torch.testing.assert_close(changed[:, :4], logits[:, :4], rtol=1e-4, atol=1e-5)
    padded = torch.nn.functional.pad(case.captions[:, 0], (0, 3))
    longer, _ = case.net(case.images, padded)
    torch.testing.assert_close(longer[:, :6], logits, rtol=1e-4, atol=1e-5)
    alone, _ = case.net(case.images[1:], case.captions[1:])
    torch.testing.assert_close(alone, logits[1:], rtol=1e-4, atol=1e-5)
    other, _ = case.net(case.images.flip(0), case.captions)
    assert (other - logits).abs().max() > 1e-4


def check_ids(ids):
    assert ids.dtype == torch.long
    assert ids.dim() == 2 and ids.size(0) == 2 and 1 <= ids.size(1) <= 20
    assert int(ids.min()) >= 0 and int(ids.max()) < VOCABULARY
    ended = (ids == EOS).cumsum(dim=1) - (ids == EOS).int() > 0
    assert (ids[ended] == PAD).all()


def check_learning(case):
    before = {name: value.detach().clone() for name, value in case.net.named_parameters()}
    accuracy, loss = case.net.learn([(case.images, case.captions)])
    assert isinstance(accuracy, float) and isinstance(loss, float)
    assert 0.0 <= accuracy <= 1.0
    assert 0.0 < loss < 20.0
    dead = [n for n, p in case.net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert dead == []
    same = [n for n, p in case.net.named_parameters() if torch.equal(p, before[n])]
    assert same == []
    trained = {id(p) for group in case.net.optimizer.param_groups for p in group["params"]}
    assert trained == {id(p) for p in case.net.parameters()}


def drawn(chunk):
    rng = random.Random(chunk)
    return [random_design(rng) for _ in range(CHUNK)]


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_random_designs_build_and_train(chunk):
    for number, design in enumerate(drawn(chunk)):
        print(design.model_dump_json())  # the last one is the one that failed
        one = case(design, seed=number)
        with torch.no_grad():
            check_meaning(one, check_teacher_forcing(one))
        check_learning(one)
        one.net.eval()
        with torch.no_grad():
            check_ids(one.net(one.images))


def test_the_random_designs_cover_every_value():
    seen = [design.model_dump() for chunk in range(CHUNKS) for design in drawn(chunk)]
    fields = json_schema()["properties"].items()
    missing = [(n, v) for n, rule in fields for v in rule["enum"] if not any(d[n] == v for d in seen)]
    assert missing == []


@pytest.mark.parametrize("fields", DECODERS)
def test_hidden_state_can_be_handed_back(fields):
    """A recurrent decoder goes on from its state; a Transformer reuses the memory, whatever the images now hold."""
    one = case(with_fields(width=16, depth=1, **fields))
    one.net.eval()
    captions = one.captions[:, 0]
    with torch.no_grad():
        whole, state = one.net(one.images, captions)
        if fields["decoder"] == "transformer":
            again, _ = one.net(torch.zeros_like(one.images), captions, state)
            torch.testing.assert_close(again, whole, rtol=0, atol=0)
            return
        _, state = one.net(one.images, captions[:, :4])
        rest, _ = one.net(one.images, captions[:, 3:], state)
    torch.testing.assert_close(rest, whole[:, 3:], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("fields", DECODERS)
def test_training_repeats_with_its_seed(fields):
    runs = []
    for _ in range(2):
        one = case(with_fields(width=16, depth=1, dropout="0.3", **fields), seed=4)
        runs.append(one.net.learn([(one.images, one.captions)] * 2))
    assert runs[0] == runs[1]


@pytest.mark.parametrize("decoder", ["lstm", "transformer"])
def test_captions_without_words_are_ignored(decoder):
    one = case(with_fields(decoder=decoder, width=16, depth=1, dropout="0.0"))
    nothing = torch.zeros_like(one.captions)
    assert one.net.learn([(one.images, nothing)]) == (0.0, 0.0)
    assert one.net.learn([]) == (0.0, 0.0)
    one.net.learn([(one.images, one.captions)])
    assert all(torch.isfinite(p).all() for p in one.net.parameters())
    # A missing caption is as good as none: the loss is the mean over words, not over rows.
    left, right = (case(one.design) for _ in range(2))
    _, with_missing = left.net.learn([(left.images, left.captions)])
    _, without = right.net.learn([(right.images, right.captions[:, :4])])
    assert with_missing == pytest.approx(without, rel=1e-5)


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize(("channels", "side"), [(1, 32), (3, 48), (1, 299), (3, 33)])
def test_image_shapes(block, channels, side):
    """Grey and coloured, small, large and odd images; a last batch of one image; captions of two ids."""
    torch.manual_seed(0)
    net = build(with_fields(block=block, depth=1, width=16), channels, side)
    images, captions = batch(torch.Generator().manual_seed(0), 1, channels, side)
    assert 0.0 < net.learn([(images, captions)])[1] < 20.0
    with torch.no_grad():
        logits, _ = net.eval()(images, captions[:, :, :2])
    assert logits.shape == (1, 1, VOCABULARY)


@pytest.mark.parametrize("block", BLOCKS)
def test_memory_is_bounded_whatever_the_image(block):
    net = build(with_fields(block=block, depth=1, width=16))
    with torch.no_grad():
        lengths = {net.encoder(torch.zeros(2, 3, side, side)).shape for side in (32, 64, 160)}
    assert lengths == {(2, 16, 192)}


@pytest.mark.parametrize("block", BLOCKS)
def test_fine_features_have_twice_the_side(block):
    sides = []
    for resolution in ("coarse", "fine"):
        net = build(with_fields(block=block, resolution=resolution, depth=1, width=16))
        net.encoder.pool.register_forward_pre_hook(lambda _, given: sides.append(given[0].shape[-2:]))
        with torch.no_grad():
            net.encoder(torch.zeros(2, 3, 64, 64))
    # A ViT keeps its patches: fine is no choice for it.
    assert sides == ([(8, 8), (8, 8)] if block == "vit" else [(4, 4), (8, 8)])


def test_dot_attention_is_torchs():
    torch.manual_seed(0)
    attention = build(with_fields(attention="dot", width=16, depth=1)).decoder.attention
    states, memory = torch.randn(2, 5, 192), torch.randn(2, 16, 192)
    seen = torch.nn.functional.scaled_dot_product_attention(attention.query(states), memory, memory)
    torch.testing.assert_close(attention(states, memory), attention.norm(states + attention.combine(seen)))


@pytest.mark.parametrize("memory", ["token", "grid"])
@pytest.mark.parametrize("decoder", ["lstm", "gru", "transformer"])
def test_pocket_nets_stay_small(decoder, memory):
    largest = {name: values[-1] for name, values in choices().items()}
    for attention in choices()["attention"]:
        for block in BLOCKS:
            design = Design(**largest | {"block": block, "decoder": decoder, "memory": memory, "attention": attention})
            count = sum(p.numel() for p in build(design, vocabulary=100).parameters())
            assert count <= 4_000_000, (design, count)


def test_large_vocabulary():
    for decoder in ("lstm", "transformer"):
        torch.manual_seed(0)
        net = build(with_fields(decoder=decoder, width=16, depth=1), vocabulary=12_000)
        images, captions = batch(torch.Generator().manual_seed(0), vocabulary=12_000)
        accuracy, loss = net.learn([(images, captions)])
        # An untrained Net must start near the loss of a uniform guess, ln 12000 = 9.4.
        assert accuracy < 0.2 and 8.0 < loss < 11.0
        assert net(images, captions)[0].shape == (2, 6, 12_000)


def test_criterion_and_tied_weights_are_the_designs():
    for smoothing in ("0.0", "0.1"):
        net = build(with_fields(label_smoothing=smoothing))
        assert net.criterion.ignore_index == PAD
        assert net.criterion.label_smoothing == float(smoothing)
    for decoder in ("gru", "transformer"):
        for tied in (False, True):
            net = build(with_fields(decoder=decoder, tied_embeddings=tied))
            assert (net.decoder.output.weight is net.decoder.embedding.weight) == tied
    net = build(with_fields(lr="0.002", momentum="0.8"))
    group = net.optimizer.param_groups[0]
    assert (group["lr"], group["betas"][0]) == (0.002, 0.8)


COLOURS = torch.eye(3)


def coloured_squares(count, generator):
    """Images with one coloured square in one of four corners, and the caption that says which and where."""
    colour = torch.randint(0, 3, (count,), generator=generator)
    corner = torch.randint(0, 4, (count,), generator=generator)
    images = 0.1 * torch.randn(count, 3, 32, 32, generator=generator)
    for i in range(count):
        y, x = 16 * int(corner[i] // 2) + 3, 16 * int(corner[i] % 2) + 3
        images[i, :, y : y + 10, x : x + 10] += 2 * COLOURS[colour[i]][:, None, None]
    captions = torch.stack([torch.full_like(colour, SOS), 4 + colour, 8 + corner, torch.full_like(colour, EOS)], dim=1)
    return images, captions.unsqueeze(1).expand(-1, 5, -1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "fields",
    [{"block": block, "resolution": "coarse"} for block in BLOCKS] + DECODERS[3:],
    ids=lambda fields: "-".join(map(str, fields.values())),
)
def test_designs_learn_what_an_image_shows(fields):
    """After a few dozen steps the captions of unseen images are right far more often than by chance (1 in 12)."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    net = build(with_fields(**{"width": 16, "depth": 1, "hidden_size": 128, "dropout": "0.0"} | fields))
    steps = 40
    net.learn([coloured_squares(32, generator) for _ in range(steps)])
    images, captions = coloured_squares(100, generator)
    with torch.no_grad():
        ids = net.eval()(images)
    right = (ids[:, :3] == captions[:, 0, 1:]).all(dim=1).float().mean().item()
    assert right > 0.5


@pytest.mark.parametrize("block", ["residual", "dense", "vit"])
def test_full_designs_build_and_train(block):
    """The paper's scale, on small images: the smallest of each, so that the test stays fast."""
    fields = {name: values[0] for name, values in choices("full").items()}
    for decoder, memory in (("lstm", "grid"), ("transformer", "token")):
        design = Design(**fields | {"block": block, "decoder": decoder, "memory": memory, "attention": "additive"})
        one = case(design, side=32)
        check_learning(one)
        one.net.eval()
        with torch.no_grad():
            check_meaning(one, check_teacher_forcing(one))
            check_ids(one.net(one.images))
            assert one.net.encoder(torch.zeros(1, 3, 224, 224)).shape == (1, 49 if memory == "grid" else 1, 640)


@pytest.mark.parametrize("resolution", choices()["resolution"])
def test_full_designs_train_on_one_small_image(resolution):
    """Where the last stage would end on a single cell, batch normalization of one image would fail."""
    fields = {name: values[0] for name, values in choices("full").items()}
    net = build(Design(**fields | {"resolution": resolution}))
    images, captions = batch(torch.Generator().manual_seed(0), 1)
    assert 0.0 < net.learn([(images, captions)])[1] < 20.0


def test_an_epoch_ends_with_the_mean_of_its_last_steps():
    made = case(with_fields())
    batches = [(made.images, made.captions)] * 14
    step, seen = made.net.optimizer.step, []

    def recorded():
        step()
        seen.append([weight.detach().clone() for weight in made.net.parameters()])

    made.net.optimizer.step = recorded
    made.net.learn(batches[:4])
    # Few steps count alike, and the weights that the epoch began with not at all.
    for weight, *steps in zip(made.net.parameters(), *seen, strict=True):
        torch.testing.assert_close(weight, torch.stack(steps).mean(dim=0))
    seen.clear()
    made.net.learn(batches)
    # From the tenth step on, each step has a tenth of the mean.
    for weight, *steps in zip(made.net.parameters(), *seen, strict=True):
        mean = torch.stack(steps[:10]).mean(dim=0)
        for later in steps[10:]:
            mean = 0.9 * mean + 0.1 * later
        torch.testing.assert_close(weight, mean, rtol=1e-4, atol=1e-6)

"""The two hand-made Nets: the Net API kept exactly, and learning that needs the image."""

import collections
import inspect
import math
import types
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader
from torchvision import transforms

import lemur_caption
from lemur_caption.dataset.coco import IMAGENET_NORM, load
from lemur_caption.dataset.shapes import render_shapes
from lemur_caption.lemur import registry

FILES = Path(lemur_caption.__file__).parent / "lemur_files"
NAMES = ("CaptionLSTM", "CaptionTransformer")
PRM = {"lr": 1e-3, "momentum": 0.9}
MARKER = "# Part of lemur-caption (MIT licence); written by `lemur-caption register`."


def module(kind, name):
    """What LEMUR would import under this name."""
    text = next(item.text for item in registry.items() if (item.kind, item.name) == (kind, name))
    loaded = types.ModuleType(name)
    exec(compile(text, f"{name}.py", "exec"), vars(loaded))
    return loaded


def build(name, side=32, channels=3, vocab=30, seed=0, **prm):
    torch.manual_seed(seed)
    net = module("nn", name).Net((1, channels, side, side), (vocab,), PRM | prm, torch.device("cpu"))
    net.train_setup(PRM)
    return net


def batch(size=4, side=32, channels=3, vocab=30, length=9, seed=1):
    """Images and captions `<SOS> words <EOS>` of different lengths, [B, 5, T]; the last row of each image is missing."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(size, channels, side, side, generator=generator)
    captions = torch.randint(4, vocab, (size, 5, length), generator=generator)
    captions[:, :, 0] = 1
    for row, end in zip(
        captions.flatten(0, 1), torch.randint(3, length, (size * 5,), generator=generator), strict=True
    ):
        row[end] = 2
        row[end + 1 :] = 0
    captions[:, 4] = 0
    return images, captions


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


def test_every_file_for_lemur_starts_with_the_marker():
    items = registry.items()
    assert {item.name for item in items} >= {*NAMES, "shapes", "coco-caption", "bleu-4", "norm_96"}
    assert [item.name for item in items if item.text.splitlines()[0] != MARKER] == []


def test_hyperparameters_are_declared_and_used(name):
    source = (FILES / "nn" / f"{name}.py").read_text()
    declared = module("nn", name).supported_hyperparameters()
    assert declared == {"lr", "momentum"}
    # NNGPT counts each name in quotes: once declared, once read.
    assert all(source.count(f'"{key}"') + source.count(f"'{key}'") >= 2 for key in declared)
    net = build(name)
    assert net.optimizer.param_groups[0]["lr"] == PRM["lr"]
    assert net.optimizer.param_groups[0]["betas"][0] == PRM["momentum"]
    net.train_setup({"lr": 0.5, "momentum": 1.0})
    assert net.optimizer.param_groups[0]["lr"] == 0.5
    assert net.optimizer.param_groups[0]["betas"][0] < 1
    assert net.criterion.ignore_index == 0
    assert list(inspect.signature(net.forward).parameters) == ["images", "captions", "hidden_state"]


@pytest.mark.parametrize(("side", "channels", "vocab"), [(32, 1, 30), (33, 3, 12_000), (64, 3, 64), (299, 3, 30)])
def test_shapes_for_every_image_size_and_vocabulary(name, side, channels, vocab):
    net = build(name, side, channels, vocab).eval()
    images, captions = batch(2, side, channels, vocab)
    logits, state = net(images, captions)
    assert tuple(logits.shape) == (2, 8, vocab)
    assert logits.isfinite().all()
    assert state is not None
    assert net(images, captions[:, 0])[0].equal(logits)
    ids = net(images)
    assert ids.dtype == torch.int64
    assert ids.shape[0] == 2
    assert 1 <= ids.shape[1] <= 24
    assert ids.min() >= 0
    assert ids.max() < vocab


def test_hidden_state_stands_for_the_image(name):
    net = build(name).eval()
    images, captions = batch(2)
    memory = net.encoder(images)
    state = net.decoder.first_state(memory) if name == "CaptionLSTM" else memory
    assert net(images, captions, state)[0].allclose(net(images, captions)[0], atol=1e-6)
    other = net.decoder.first_state(memory.flip(0)) if name == "CaptionLSTM" else memory.flip(0)
    assert not net(images, captions, other)[0].allclose(net(images, captions)[0], atol=1e-4)


def test_later_tokens_never_change_earlier_logits(name):
    net = build(name).eval()
    images, captions = batch(3)
    captions = captions[:, 0]
    whole = net(images, captions)[0]
    for cut in range(2, captions.shape[1]):
        changed = captions.clone()
        changed[:, cut:] = torch.where(captions[:, cut:] == 7, 8, 7)
        assert net(images, changed)[0][:, :cut].allclose(whole[:, :cut], atol=1e-5)
        assert net(images, captions[:, :cut])[0].allclose(whole[:, : cut - 1], atol=1e-5)
    assert not net(images, changed)[0].allclose(net(images, captions * 0 + 9)[0], atol=1e-3)


def test_more_padding_changes_nothing(name):
    net = build(name).eval()
    images, captions = batch(3)
    wider = torch.nn.functional.pad(captions, (0, 6))
    assert net(images, wider)[0][:, :8].allclose(net(images, captions)[0], atol=1e-5)


def test_batch_mates_are_independent_in_eval(name):
    net = build(name).eval()
    images, captions = batch(4)
    together, ids = net(images, captions)[0], net(images)
    for index in range(4):
        alone = net(images[index : index + 1], captions[index : index + 1])[0]
        assert alone[0].allclose(together[index], atol=1e-5)
        own = net(images[index : index + 1])[0]
        assert own.equal(ids[index, : len(own)])
        assert ids[index, len(own) :].eq(0).all()


def test_the_image_decides(name):
    net = build(name).eval()
    images, captions = batch(2)
    assert not net(images, captions)[0].allclose(net(images.flip(0), captions)[0], atol=1e-4)


def test_generation_stops_at_eos(name):
    net = build(name).eval()
    with torch.no_grad():
        net.decoder.output.bias[2] = 1e4
    assert net(batch(3)[0]).tolist() == [[2], [2], [2]]
    with torch.no_grad():
        net.decoder.output.bias[2] = -1e4
        net.decoder.output.bias[0] = -1e4
    assert net(batch(3)[0]).shape == (3, module("nn", name).MAX_LENGTH)


def test_learn_returns_accuracy_and_loss_changes_all_parameters_and_learns(name):
    net = build(name)
    images, captions = batch(4)
    before = {key: value.clone() for key, value in net.named_parameters()}
    accuracy, loss = net.learn([(images, captions), (images[:1], captions[:1])])
    assert isinstance(accuracy, float)
    assert isinstance(loss, float)
    assert 0 <= accuracy <= 1
    assert abs(loss - math.log(30)) < 1.5
    unchanged = [key for key, value in net.named_parameters() if value.equal(before[key])]
    assert unchanged == []
    for _ in range(20):
        later_accuracy, later_loss = net.learn([(images, captions)])
    assert later_loss < loss - 1
    assert later_accuracy > accuracy


def test_learn_ignores_captions_that_are_missing(name):
    images, captions = batch(4)
    captions[2:, 1:] = 0
    losses = []
    for more in (captions, torch.cat([captions, captions * 0], dim=1)):
        net = build(name)
        # Dropout draws the same numbers for the same rows.
        torch.manual_seed(5)
        losses.append(net.learn([(images, more)])[1])
    assert losses[0] == losses[1]
    assert math.isfinite(losses[0])
    assert build(name).learn([(images, captions * 0)]) == (0.0, 0.0)


def test_pretrained_weights_are_read_from_disk_or_missed_by_name_never_downloaded(name, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"resnet50-.*\.pth: put the file there, or train with pretrained 0"):
        build(name, pretrained=1.0)
    assert build(name, pretrained=0.0).encoder.frozen is False


@pytest.mark.slow
def test_a_pretrained_encoder_stays_as_it_was(name, tmp_path, monkeypatch):
    from torchvision.models import ResNet50_Weights, resnet50

    (tmp_path / "checkpoints").mkdir()
    torch.manual_seed(0)
    torch.save(resnet50().state_dict(), tmp_path / "checkpoints" / Path(ResNet50_Weights.DEFAULT.url).name)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    net = build(name, channels=1, pretrained=1)
    before = {key: value.clone() for key, value in net.encoder.backbone.state_dict().items()}
    _, loss = net.learn([batch(2, channels=1)])
    assert math.isfinite(loss)
    assert all(value.equal(before[key]) for key, value in net.encoder.backbone.state_dict().items())


def bleu4(splits, captioner, images_of=lambda index: index):
    """BLEU-4 on the validation split; `images_of` tells which image is shown in place of number `index`."""
    metric = module("metric", "bleu-4").create_metric()
    for start in range(0, len(splits.val), 50):
        indices = range(start, min(start + 50, len(splits.val)))
        images = torch.stack([splits.val[images_of(index)][0] for index in indices])
        _, captions = splits.val.collate_fn([(images[0], splits.val.labels(index)) for index in indices])
        metric(captioner(images), captions)
    return metric.result()


@pytest.mark.slow
def test_training_beats_captioners_that_do_not_see(name, tmp_path):
    render_shapes(tmp_path / "shapes", train=480, val=100)
    to_48 = transforms.Compose([transforms.Resize(48), transforms.ToTensor(), transforms.Normalize(*IMAGENET_NORM)])
    splits = load(tmp_path / "shapes", to_48)
    net = build(name, side=48, vocab=len(splits.vocabulary))
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        collate = splits.train.collate_fn
        net.learn(DataLoader(splits.train, batch_size=32, shuffle=True, collate_fn=collate, generator=generator))
    net.eval()
    seeing = bleu4(splits, net)
    misled = bleu4(splits, net, images_of=lambda index: (index + 37) % len(splits.val))

    rows = [tuple(row) for index in range(len(splits.train)) for row in splits.train.labels(index).tolist()]
    counts = collections.Counter(tuple(token for token in row if token) for row in rows)
    commonest = torch.tensor(max(counts, key=counts.get)[1:])
    constant = bleu4(splits, lambda images: commonest.expand(len(images), -1))
    assert seeing > 1.5 * max(misled, constant), (
        f"BLEU-4 {seeing:.3f}, with the images of other scenes {misled:.3f}, "
        f"the most frequent training caption {constant:.3f}"
    )

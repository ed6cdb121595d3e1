"""Metric `bleu-4` against NLTK, and its reading of ids and padding."""

import importlib.util
import random
import warnings

import pytest
import torch
from nltk.translate.bleu_score import corpus_bleu

from lemur_caption.metrics import files

PAD, SOS, EOS, UNK = 0, 1, 2, 3


@pytest.fixture(scope="module")
def metric_module(tmp_path_factory):
    folder = tmp_path_factory.mktemp("metric")
    files.write(folder)
    spec = importlib.util.spec_from_file_location("bleu_4", folder / "bleu-4.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def metric(metric_module):
    return metric_module.create_metric((100,))


def nltk_bleu(references, captions):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NLTK warns of n-gram orders without a match
        return corpus_bleu(references, captions)


def padded(rows, length, *, start=False):
    """Ids as a loader or a Net writes them: <SOS> where wanted, <EOS>, padding."""
    filled = [[SOS] * start + list(row) + [EOS] for row in rows]
    return [row + [PAD] * (length + 2 - len(row)) for row in filled]


def score(metric, references, captions, batch=7):
    longest = max(len(row) for rows in [captions, *references] for row in rows)
    most = max(len(rows) for rows in references)
    labels = [padded(rows, longest, start=True) + [[PAD] * (longest + 2)] * (most - len(rows)) for rows in references]
    outputs = padded(captions, longest)
    metric.reset()
    for at in range(0, len(captions), batch):
        metric(torch.tensor(outputs[at : at + batch]), torch.tensor(labels[at : at + batch]))
    return metric.result()


@pytest.mark.parametrize("seed", range(60))
def test_equals_nltk_on_random_corpora(metric, seed):
    rng = random.Random(seed)
    words = range(3, 3 + rng.choice((2, 5, 12, 60)))
    sizes = rng.choice(((0, 4), (0, 12), (1, 9), (5, 25)))

    def sentence():
        return [rng.choice(words) for _ in range(rng.randint(*sizes))]

    references = [[sentence() for _ in range(rng.randint(1, 5))] for _ in range(rng.randint(1, 40))]
    # Half of the captions come close to a reference, so that long n-grams match too.
    captions = [
        sentence() if rng.random() < 0.5 else [word for word in rng.choice(rows) if rng.random() < 0.9]
        for rows in references
    ]
    assert score(metric, references, captions) == pytest.approx(nltk_bleu(references, captions), abs=1e-9)


@pytest.mark.parametrize(
    ("references", "captions"),
    [
        ([[[5, 6, 7, 8, 9]]], [[5, 6, 7, 8, 9]]),
        ([[[5, 6, 7, 8, 9]]], [[]]),
        ([[[5, 6, 7, 8, 9]], [[4, 5, 6, 7, 8]]], [[], [4, 5, 6, 7, 8]]),
        ([[[5, 6, 7]]], [[5, 6, 7]]),
        ([[[5, 6, 7, 8]], [[4, 5, 6, 7, 8, 9]]], [[5, 6, 7], [4, 5, 6, 7, 8, 9]]),
        ([[[5, 6, 7, 8]]], [[10, 11, 12, 13]]),
        ([[[5]]], [[5]]),
        ([[[]]], [[5, 6, 7, 8, 9]]),
        ([[[5, 5, 5, 5, 5]]], [[5] * 12]),
        # Closest reference length: 5 and 7 are equally near to 6, and the shorter counts.
        ([[[5, 6, 7, 8, 9], [5, 6, 7, 8, 9, 10, 11]]], [[5, 6, 7, 8, 9, 10]]),
        # <UNK> is a word.
        ([[[UNK, UNK, 7, 8, 9]]], [[UNK, UNK, 7, 8, 9]]),
    ],
    ids=[
        "same",
        "empty",
        "one empty",
        "short",
        "one short",
        "no overlap",
        "one word",
        "empty reference",
        "repeats",
        "tie",
        "unk",
    ],
)
def test_equals_nltk_at_the_edges(metric, references, captions):
    assert score(metric, references, captions) == pytest.approx(nltk_bleu(references, captions), abs=1e-9)


def test_a_perfect_caption_scores_one_and_nothing_scores_zero(metric):
    assert metric.result() == 0.0
    assert score(metric, [[[5, 6, 7, 8, 9]]], [[5, 6, 7, 8, 9]]) == 1.0


def test_a_caption_ends_at_its_first_eos(metric):
    labels = torch.tensor([[[SOS, 5, 6, 7, 8, 9, EOS, PAD]]])
    metric(torch.tensor([[5, 6, 7, 8, 9, EOS, 10, 11]]), labels)
    assert metric.result() == 1.0
    metric.reset()
    metric(torch.tensor([[5, 6, 7, 8, 9, 10, 11, 12]]), labels)
    assert metric.result() < 0.8


def test_sos_and_padding_inside_a_caption_are_dropped(metric):
    metric(torch.tensor([[SOS, 5, 6, PAD, 7, 8, 9, EOS]]), torch.tensor([[[SOS, 5, 6, 7, 8, 9, EOS]]]))
    assert metric.result() == 1.0


def test_scores_count_by_their_highest_entry(metric):
    ids = torch.tensor([[5, 6, 7, 8, EOS, PAD], [5, 6, 9, 8, 7, EOS]])
    labels = torch.tensor([[[SOS, 5, 6, 7, 8, EOS]], [[SOS, 5, 6, 7, 8, EOS]]])
    metric(ids, labels)
    of_ids = metric.result()
    metric.reset()
    metric(torch.nn.functional.one_hot(ids, 12).float() * 3 - 1, labels)
    assert metric.result() == of_ids
    assert 0 < of_ids < 1


def test_one_reference_may_come_without_its_dimension(metric):
    metric(torch.tensor([[5, 6, 7, 8, EOS]]), torch.tensor([[SOS, 5, 6, 7, 8, EOS]]))
    assert metric.result() == 1.0


def test_an_image_without_references_changes_nothing(metric):
    labels = torch.tensor([[[SOS, 5, 6, 7, 8, EOS]], [[PAD] * 6]])
    metric(torch.tensor([[5, 6, 7, 8, EOS], [9, 9, 9, 9, EOS]]), labels)
    assert metric.result() == 1.0


def test_reset_forgets(metric):
    metric(torch.tensor([[9, 9, 9, 9, 9]]), torch.tensor([[SOS, 5, 6, 7, 8, EOS]]))
    metric.reset()
    metric(torch.tensor([[5, 6, 7, 8, EOS]]), torch.tensor([[SOS, 5, 6, 7, 8, EOS]]))
    assert metric.result() == 1.0


@pytest.mark.parametrize("outputs", [torch.zeros(3), torch.zeros(2, 4), torch.zeros(1, 2, 3, 4)])
def test_other_shapes_are_an_error_that_names_both(metric, outputs):
    with pytest.raises(ValueError, match=r"\[B, L\].*\[1, 1, 6\]"):
        metric(outputs, torch.zeros(1, 1, 6, dtype=torch.long))

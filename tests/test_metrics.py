"""The metrics against pycocoevalcap, as a library and as LEMUR metric files, and how they share their work."""

import importlib.util
import random
import re
import shutil
import sys

import pytest
import torch
from nltk.translate.bleu_score import corpus_bleu

from lemur_caption.errors import LemurCaptionError, UsageError
from lemur_caption.lemur import registry
from lemur_caption.lemur.registry import MARKER
from lemur_caption.metrics import METRICS, files, score

# NLTK warns of n-gram orders without a match.
pytestmark = pytest.mark.filterwarnings(r"ignore:\s*The hypothesis contains:UserWarning")

PAD, SOS, EOS, UNK = 0, 1, 2, 3
NAMES = ("bleu-1", "bleu-2", "bleu-3", "bleu-4", "cider-d", "rouge-l")
TOLERANCE = {name: 1e-9 if name.startswith("bleu") else 1e-6 for name in NAMES}


def coco(hypotheses, references):
    """pycocoevalcap's values of the same tokens."""
    reason = "pycocoevalcap is not installed"
    Bleu = pytest.importorskip("pycocoevalcap.bleu.bleu", reason=reason).Bleu
    Cider = pytest.importorskip("pycocoevalcap.cider.cider", reason=reason).Cider
    Rouge = pytest.importorskip("pycocoevalcap.rouge.rouge", reason=reason).Rouge
    gts = {image: [" ".join(map(str, row)) for row in rows] for image, rows in enumerate(references)}
    res = {image: [" ".join(map(str, row))] for image, row in enumerate(hypotheses)}
    bleu, _ = Bleu(4).compute_score(gts, res, verbose=0)
    values = {f"bleu-{n}": value for n, value in enumerate(bleu, 1)}
    if any(any(rows) for rows in references):  # its CIDEr-D fails without a single n-gram
        values["cider-d"] = Cider().compute_score(gts, res)[0]
    values["rouge-l"] = Rouge().compute_score(gts, res)[0]
    return values


def load(path, name):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def modules(tmp_path_factory):
    """The LEMUR files as LEMUR imports them: modules that know nothing of each other."""
    folder = tmp_path_factory.mktemp("metric")
    files.write(folder)
    return {name: load(folder / f"{name}.py", f"metric_file_{name}") for name in NAMES}


@pytest.fixture
def metrics(modules):
    return {name: module.create_metric((100,)) for name, module in modules.items()}


def tensors(hypotheses, references):
    """Ids as a Net and a loader write them: <SOS>, <EOS>, padding, and rows of padding for missing references."""
    longest = max(map(len, [*hypotheses, *(row for rows in references for row in rows)])) + 2
    most = max(map(len, references))

    def padded(row):
        return row + [PAD] * (longest - len(row))

    labels = [[padded([SOS, *row, EOS]) for row in rows] + [padded([])] * (most - len(rows)) for rows in references]
    return torch.tensor([padded([*row, EOS]) for row in hypotheses]), torch.tensor(labels)


def from_files(metrics, hypotheses, references, batch=6):
    outputs, labels = tensors(hypotheses, references)
    for start in range(0, len(outputs), batch):
        pair = outputs[start : start + batch], labels[start : start + batch]
        for metric in metrics.values():
            metric(*pair)
    return {name: metric.result() for name, metric in metrics.items()}


def random_corpus(seed, shortest=0):
    rng = random.Random(seed)
    words = range(3, 3 + rng.choice((2, 5, 12, 60)))
    longest = rng.choice((4, 9, 25, 80))

    def sentence():
        return [rng.choice(words) for _ in range(rng.randint(shortest, longest))]

    references = [[sentence() for _ in range(rng.randint(1, 5))] for _ in range(rng.randint(1, 30))]
    hypotheses = []
    for rows in references:
        close = [word for word in rng.choice(rows) if rng.random() < 0.9]
        hypotheses.append(close if rng.random() < 0.6 and len(close) >= shortest else sentence())
    return hypotheses, references


def assert_close(values, expected, names=NAMES):
    for name in names:
        if name in expected:
            assert values[name] == pytest.approx(expected[name], abs=TOLERANCE[name], rel=0), name


# What pycocoevalcap says of these, bleu-4 aside, holds for short captions and orders without a match too.
ALL_BUT_BLEU_4 = [name for name in NAMES if name != "bleu-4"]


@pytest.mark.parametrize("seed", range(40))
def test_random_corpora_with_empty_and_short_captions(metrics, seed):
    hypotheses, references = random_corpus(seed)
    expected = coco(hypotheses, references)
    assert_close(score(hypotheses, references, NAMES), expected, ALL_BUT_BLEU_4)
    assert_close(from_files(metrics, hypotheses, references), expected, ALL_BUT_BLEU_4)


@pytest.mark.parametrize("seed", range(40))
def test_bleu_4_equals_both_libraries_unless_a_caption_is_short_or_an_order_has_no_match(metrics, seed):
    hypotheses, references = random_corpus(seed, shortest=4)
    hypotheses[0] = references[0][0]  # a match of each order
    expected = coco(hypotheses, references)
    assert expected["bleu-4"] == pytest.approx(corpus_bleu(references, hypotheses), abs=1e-9, rel=0)
    assert_close(score(hypotheses, references, NAMES), expected)
    assert_close(from_files(metrics, hypotheses, references), expected)


@pytest.mark.parametrize(
    ("hypotheses", "references"),
    [([[5, 6, 7], [5, 6, 7, 8, 9]], [[[5, 6, 7]], [[5, 6, 7, 8, 9]]]), ([[5, 6, 7, 9, 8]], [[[5, 6, 7, 8, 9]]])],
    ids=["a short caption", "no 4-gram matches"],
)
def test_where_the_libraries_differ_bleu_4_is_nltks(metrics, hypotheses, references):
    expected = corpus_bleu(references, hypotheses)
    assert abs(coco(hypotheses, references)["bleu-4"] - expected) > 1e-5
    assert score(hypotheses, references, ["bleu-4"])["bleu-4"] == pytest.approx(expected, abs=1e-9, rel=0)
    assert from_files(metrics, hypotheses, references)["bleu-4"] == pytest.approx(expected, abs=1e-9, rel=0)


EDGES = {
    "one image": ([[5, 6, 7, 8, 9]], [[[5, 6, 7, 8, 9], [5, 6, 7]]]),
    "one reference": ([[5, 6, 7, 8], [9, 6, 7, 8, 5]], [[[5, 6, 7, 9]], [[9, 6, 7, 8]]]),
    "an empty hypothesis": ([[], [5, 6, 7, 8, 9]], [[[5, 6, 7]], [[5, 6, 7, 8, 9]]]),
    "only empty hypotheses": ([[], []], [[[5, 6, 7]], [[5, 6, 7, 8, 9]]]),
    "no overlap": ([[10, 11, 12, 13], [11, 12, 13, 14]], [[[5, 6, 7, 8]], [[6, 7, 8, 9], [5, 6]]]),
    "all equal": ([[5, 6, 7, 8, 9]] * 3, [[[5, 6, 7, 8, 9]] * 2] * 3),
    "shorter than four": ([[5], [5, 6], [7, 8, 9]], [[[5]], [[5, 6], [6]], [[7, 8, 9, 10]]]),
    "an empty reference": ([[5, 6, 7, 8], [7, 8]], [[[]], [[7, 8, 9], []]]),
    "an empty hypothesis of an empty reference": ([[], [7, 8]], [[[]], [[7, 8, 9]]]),
    "nothing but empty references": ([[5, 6], []], [[[]], [[]]]),
    "repeats": ([[5] * 12, [5, 6] * 4], [[[5] * 5, [5] * 3], [[6, 5] * 3]]),
    "longer than 64": ([[*range(5, 90)], [5, 6, 7]], [[[*range(4, 99, 2)], [*range(5, 80)]], [[5, 6, 7]]]),
    "unk is a word": ([[UNK, UNK, 7, 8], [UNK]], [[[UNK, UNK, 7, 8, 9]], [[UNK, 5]]]),
    "a length between two": ([[5, 6, 7, 8, 9, 10]], [[[5, 6, 7, 8, 9, 10, 11], [5, 6, 7, 8, 9]]]),
    "large ids": ([[2**40, 7, 2**40 + 1]], [[[2**40, 7, 2**40 + 1, 9]]]),
}


@pytest.mark.parametrize(("hypotheses", "references"), EDGES.values(), ids=EDGES)
def test_the_edges(metrics, hypotheses, references):
    expected = coco(hypotheses, references) | {"bleu-4": corpus_bleu(references, hypotheses)}
    words = [[f"w{id}" for id in row] for row in hypotheses], [[[f"w{id}" for id in r] for r in q] for q in references]
    assert_close(score(hypotheses, references, NAMES), expected)
    assert_close(score(*words, NAMES), expected)
    assert_close(from_files(metrics, hypotheses, references, batch=1), expected)


def test_document_frequencies_come_from_all_references_of_all_batches(metrics):
    hypotheses, references = random_corpus(3, shortest=5)
    whole = from_files(metrics, hypotheses, references, batch=1)
    halves = [score(hypotheses[part], references[part], ["cider-d"])["cider-d"] for part in (slice(9), slice(9, None))]
    assert whole["cider-d"] == pytest.approx(score(hypotheses, references, ["cider-d"])["cider-d"], abs=1e-12)
    assert abs(whole["cider-d"] - sum(halves) / 2) > 0.01


def test_perfect_captions(metrics):
    hypotheses = [[*range(start, start + 6)] for start in (5, 20, 40)]
    values = from_files(metrics, hypotheses, [[row] * 2 for row in hypotheses])
    assert values == pytest.approx(dict.fromkeys(NAMES, 1.0) | {"cider-d": 10.0})


def test_nothing_added_scores_zero(metrics):
    assert {metric.result() for metric in metrics.values()} == {0.0}
    for metric in metrics.values():
        metric(torch.tensor([[5, 6, EOS]]), torch.zeros(1, 5, 4, dtype=torch.long))
        assert metric.result() == 0.0
    assert score([], [], NAMES) == dict.fromkeys(NAMES, 0.0)


def test_ids_are_cut_in_library_and_files_alike(metrics):
    hypotheses = [[SOS, 5, PAD, 6, 7, EOS, 8, 9, 9], [7, 7, 7, 7, 7, 7, 7, 7, 7]]
    references = [[[SOS, 5, 6, 7, EOS, 9], [PAD] * 6], [[PAD] * 6, [PAD] * 6]]
    for metric in metrics.values():
        metric(torch.tensor(hypotheses), torch.tensor(references))
    expected = score([[5, 6, 7]], [[[5, 6, 7]]], NAMES)
    assert expected["rouge-l"] == 1.0
    assert score(hypotheses, references, NAMES) == expected
    assert {name: metric.result() for name, metric in metrics.items()} == expected


def test_metrics_of_one_trial_read_and_count_once(metrics, modules, monkeypatch):
    counted = []

    def counting(original):
        def count(self, batches):
            counted.append(len(batches))
            original(self, batches)

        return count

    for module in modules.values():
        monkeypatch.setattr(module.Corpus, "__init__", counting(module.Corpus.__init__))
    hypotheses, references = random_corpus(5, shortest=4)
    from_files(metrics, hypotheses, references, batch=4)
    assert counted == [len(metrics["bleu-1"].batches)]
    assert all(metric.batches == metrics["bleu-1"].batches for metric in metrics.values())


@pytest.mark.parametrize("changed", ["outputs", "labels"])
@pytest.mark.parametrize("inference", [False, True])
def test_tensors_that_changed_in_place_are_read_anew(metrics, changed, inference):
    with torch.inference_mode(inference):
        pair = {"outputs": torch.tensor([[5, 6, 7, 8, 9]]), "labels": torch.tensor([[[5, 6, 7, 8, 9]]])}
        metrics["rouge-l"](**pair)
        pair[changed].fill_(11)
        metrics["bleu-1"](**pair)
    assert metrics["rouge-l"].result() == 1.0
    assert metrics["bleu-1"].result() < 1e-3


def test_other_outputs_for_the_same_labels_are_read_anew(metrics):
    labels = torch.tensor([[[5, 6, 7, 8, 9]]])
    metrics["rouge-l"](torch.tensor([[5, 6, 7, 8, 9]]), labels)
    metrics["bleu-1"](torch.tensor([[9, 9, 9, 9, 9]]), labels)
    assert metrics["rouge-l"].result() == 1.0
    assert metrics["bleu-1"].result() == pytest.approx(0.2)


def test_results_so_far_and_more_batches(metrics):
    metric, labels = metrics["bleu-1"], torch.tensor([[[5, 6, 7, 8, 9]]])
    metric(torch.tensor([[5, 6, 7, 8, 9]]), labels)
    assert metric.result() == pytest.approx(1.0)
    metric(torch.tensor([[11, 12, 13, 14, 15]]), labels)
    assert metric.result() == pytest.approx(0.5)


@pytest.mark.parametrize("name", NAMES)
def test_a_lemur_file_has_our_mark_and_its_own_name(name):
    text = files.text(name)
    assert text.startswith(MARKER)
    assert f'\nNAME = "{name}"\n' in text


def test_a_lemur_file_stands_alone():
    text = files.text("cider-d")
    roots = {match.partition(".")[0] for match in re.findall(r"^\s*(?:import|from) (\S+)", text, re.MULTILINE)}
    assert roots - set(sys.stdlib_module_names) == {"numpy"}


def test_lemurs_own_names_are_left_alone():
    assert not {"bleu", "cider", "meteor"} & {item.name for item in registry.items()}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[5]], [[[5]]], ["bleu-5"]), "there is no metric `bleu-5`; the metrics are bleu-1, "),
        (([[5]], [], ["bleu-1"]), "1 hypotheses need as many lists of references, not 0"),
        ((["a dog"], [[["a", "dog"]]], ["bleu-1"]), "not a sentence: split it first"),
        (([["a", 5]], [[["a"]]], ["bleu-1"]), "all lists of str or all lists of int, not of int, str"),
        (([[5]], [[[5]]], ["meteor"]), "`meteor` compares words, not ids"),
    ],
)
def test_wrong_use_is_one_line(arguments, message):
    with pytest.raises(UsageError, match=re.escape(message)) as caught:
        score(*arguments)
    assert "\n" not in str(caught.value)


def test_meteor_without_java_or_pycocoevalcap_says_what_to_install(monkeypatch):
    captions = [["a", "dog"]], [[["a", "dog"]]], ["meteor"]
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pycocoevalcap.meteor.meteor", None)
        with pytest.raises(UsageError, match="pip install pycocoevalcap"):
            score(*captions)
    pytest.importorskip("pycocoevalcap.meteor.meteor", reason="pycocoevalcap is not installed")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UsageError, match="needs Java on the PATH"):
        score(*captions)


def test_a_java_that_fails_is_an_error_and_does_not_hang(monkeypatch, tmp_path):
    pytest.importorskip("pycocoevalcap.meteor.meteor", reason="pycocoevalcap is not installed")
    (tmp_path / "java").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "java").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LemurCaptionError, match="Java program gave no score"):
        score([["a", "dog"]], [[["a", "dog"]]], ["meteor"])


@pytest.mark.slow
def test_meteor_is_pycocoevalcaps():
    pytest.importorskip("pycocoevalcap.meteor.meteor", reason="pycocoevalcap is not installed")
    if shutil.which("java") is None:
        pytest.skip("Java is not installed")
    hypotheses = [["a", "man", "rides", "a", "horse"], ["a\ndog"], []]
    references = [[["a", "man", "on", "a", "horse"], ["man", "riding"]], [["the", "dog", "runs"]], [["a", "cat"]]]
    values = score(hypotheses, references, ["meteor", "rouge-l"])
    # What pycocoevalcap 1.2 gives for these sentences; a program start takes too long to ask it twice.
    assert values["meteor"] == pytest.approx(0.26186955950373686, abs=1e-9)
    assert set(values) == {"meteor", "rouge-l"} < set(METRICS)

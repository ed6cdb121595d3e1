# Part of lemur-caption (MIT licence); written by `lemur-caption register`.
"""Captioning metrics over token ids for LEMUR: BLEU-1 to BLEU-4, CIDEr-D and ROUGE-L, as COCO captioning reports them.

The six metric files hold this one text and differ in NAME alone. Each stands alone (numpy and the standard library).
The metrics of one trial see the same tensors, so they share the work: whoever comes first leaves the captions that it
read on the labels, and the n-grams that it counted with the captions.

Captions end before their first <EOS> (2); <PAD> (0) and <SOS> (1) are dropped; <UNK> (3) is a word like any other.

bleu-n   Papineni et al., "BLEU: a Method for Automatic Evaluation of Machine Translation", ACL 2002, without smoothing,
         in [0, 1]. Matches and lengths are summed over all images before the one division:
             BLEU-n = brevity * (p1 * ... * pn) ** (1 / n),  p_k = clipped k-gram matches / k-grams of the captions
             brevity = 1 if c > r else exp(1 - r / c), c the captions' length, r the sum of the closest references'
         bleu-1, bleu-2 and bleu-3 are pycocoevalcap's value everywhere. bleu-4 is that of NLTK's `corpus_bleu`. The two
         differ by less than 1e-9 when no caption is shorter than four tokens and each k has a match. Otherwise:
         - NLTK counts at least one k-gram a caption, pycocoevalcap none where the caption is shorter than k tokens;
         - where some k has no match NLTK gives 0, while pycocoevalcap adds 1e-15 to the matches and 1e-9 to the k-grams.
cider-d  Vedantam et al., "CIDEr: Consensus-based Image Description Evaluation", CVPR 2015, in [0, 10]: ten times the
         mean, over n = 1 to 4, references and images, of the clipped cosine of tf-idf weights, times
         exp(-d ** 2 / 72), d the difference in bigrams. An n-gram's document frequency is the number of images that have
         it in a reference, of all images measured; of a single image, idf and CIDEr-D are 0.
rouge-l  Lin, "ROUGE: A Package for Automatic Evaluation of Summaries", 2004, in [0, 1]: from the longest common
         subsequence, the best precision p and recall r over the references give 2.44 * p * r / (r + 1.44 * p); the mean
         over images. As in pycocoevalcap, which cider-d and rouge-l equal, an empty caption counts as one empty word.
"""

from __future__ import annotations

import itertools
import math
import weakref
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

NAME = "bleu-4"
METRICS = ("bleu-1", "bleu-2", "bleu-3", "bleu-4", "cider-d", "rouge-l")
PAD, SOS, EOS = 0, 1, 2

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Captions(NamedTuple):
    """Some captions: their tokens in one row, and of each caption its length and the number of its image."""

    tokens: Ints
    lengths: Ints
    images: Ints


class Batch:
    """Hypotheses, one an image, and references, in the order of their images, at least one an image."""

    def __init__(self, hypotheses: Captions, references: Captions) -> None:
        self.hypotheses = hypotheses
        self.references = references
        self.mark = object()  # tells this batch from every other
        self.corpus: tuple[list[object], Corpus] | None = None  # counted with this batch as the first


class Grams(NamedTuple):
    """The n-grams of one order: one row for each n-gram of each caption, sorted by caption, the hypotheses first."""

    caption: Ints  # the caption's number: hypotheses from 0, then references
    gram: Ints  # the n-gram's number, in range(size)
    times: Ints  # how often the caption has it
    size: int  # how many n-grams there are
    hypotheses: int  # how many rows belong to hypotheses
    shared: Ints  # the rows of references whose n-gram the image's hypothesis has too ...
    partner: Ints  # ... and the hypothesis' row


class Corpus:
    """All captions that were measured, and what the metrics count in them, each counted once."""

    def __init__(self, batches: list[Batch]) -> None:
        sizes = [len(batch.hypotheses.lengths) for batch in batches]
        offsets = np.cumsum([0, *sizes])
        parts = [batch.hypotheses for batch in batches] + [batch.references for batch in batches]
        firsts = [*offsets[:-1], *offsets[:-1]]
        self.image_count = int(offsets[-1])  # as many as hypotheses
        self.lengths = np.concatenate([part.lengths for part in parts])
        self.images = np.concatenate([part.images + first for part, first in zip(parts, firsts, strict=True)])
        # Numbered from 0, so that a pair of numbers packs into 64 bits whatever the ids are.
        words, self.tokens = np.unique(np.concatenate([part.tokens for part in parts]), return_inverse=True)
        self.words = len(words)
        self.owner = np.repeat(np.arange(len(self.lengths)), self.lengths)  # of each token, its caption
        ends = np.cumsum(self.lengths)
        self.left = ends[self.owner] - np.arange(len(self.tokens))  # tokens up to the caption's end, its own included
        references = self.images[self.image_count :]
        self.first_reference = np.searchsorted(references, np.arange(self.image_count))
        self.numbers = {1: self.tokens}  # for each n, of each token, the number of the n-gram that starts there
        self.known: dict[int, Grams] = {}

    def grams(self, n: int) -> Grams:
        """The n-grams of all captions. An n-gram is numbered from its first n - 1 tokens' number and its last token."""
        if n in self.known:
            return self.known[n]
        at = np.flatnonzero(self.left >= n)
        if n == 1:
            number, size = self.tokens, self.words
        else:
            self.grams(n - 1)
            pairs = self.numbers[n - 1][at] * self.words + self.tokens[at + n - 1]
            distinct, number = np.unique(pairs, return_inverse=True)
            size = len(distinct)
            self.numbers[n] = np.zeros_like(self.tokens)
            self.numbers[n][at] = number
        size = max(size, 1)
        keys, times = np.unique(self.owner[at] * size + number, return_counts=True)
        caption, gram = np.divmod(keys, size)
        split = int(np.searchsorted(caption, self.image_count))
        # A hypothesis has the number of its image, so that a reference's key with the image in the caption's place
        # is the key of the hypothesis' row.
        wanted = self.images[caption[split:]] * size + gram[split:]
        place = np.searchsorted(keys[:split], wanted)
        shared = np.flatnonzero(np.append(keys[:split], -1)[place] == wanted)
        self.known[n] = Grams(caption, gram, times, size, split, shared + split, place[shared])
        return self.known[n]

    def bleu(self, highest: int) -> float:
        """Corpus BLEU of n-grams up to `highest`, in [0, 1]."""
        own = self.lengths[: self.image_count]
        least = 1 if highest == 4 else 0  # k-grams that a caption counts for
        matches, totals = [], []
        for n in range(1, highest + 1):
            grams = self.grams(n)
            allowed = np.zeros(grams.hypotheses, dtype=np.int64)
            np.maximum.at(allowed, grams.partner, grams.times[grams.shared])
            matches.append(int(np.minimum(allowed, grams.times[: grams.hypotheses]).sum()))
            totals.append(int(np.maximum(own - n + 1, least).sum()))
        length, reference_length = int(own.sum()), self.closest_length()
        if highest == 4:
            if 0 in matches:
                return 0.0
            precision = math.prod(hit / total for hit, total in zip(matches, totals, strict=True))
            shortness = reference_length / length
        else:
            precision = math.prod((hit + 1e-15) / (total + 1e-9) for hit, total in zip(matches, totals, strict=True))
            shortness = (reference_length + 1e-9) / (length + 1e-15)
        return float(precision ** (1 / highest) * math.exp(min(0.0, 1 - shortness)))

    def closest_length(self) -> int:
        """The sum over images of the reference length closest to the hypothesis', of two the shorter."""
        lengths = self.lengths[self.image_count :]
        distance = np.abs(lengths - self.lengths[self.images[self.image_count :]])
        base = int(lengths.max()) + 1
        return int((np.minimum.reduceat(distance * base + lengths, self.first_reference) % base).sum())

    def cider_d(self) -> float:
        """CIDEr-D in [0, 10]."""
        image = self.images[self.image_count :]  # of each reference
        similarity = np.zeros(len(image))
        for n in range(1, 5):
            grams = self.grams(n)
            own = grams.hypotheses
            # With counts `np.unique` sorts; without it hashes, which takes thirty times as long here.
            seen, _ = np.unique(self.images[grams.caption[own:]] * grams.size + grams.gram[own:], return_counts=True)
            frequency = np.bincount(seen % grams.size, minlength=grams.size)
            weight = grams.times * (math.log(self.image_count) - np.log(np.maximum(frequency, 1)))[grams.gram]
            norm = np.sqrt(np.bincount(grams.caption, weight**2, minlength=len(self.lengths)))
            theirs = weight[grams.shared]
            product = np.bincount(
                grams.caption[grams.shared] - self.image_count,
                np.minimum(weight[grams.partner], theirs) * theirs,
                minlength=len(image),
            )
            norms = norm[image] * norm[self.image_count :]
            similarity += product / np.where(norms == 0, 1.0, norms)
        bigrams = np.maximum(self.lengths - 1, 0)
        similarity *= np.exp(-((bigrams[image] - bigrams[self.image_count :]) ** 2) / 72)
        references = np.bincount(image)
        return float((np.bincount(image, similarity) / references).mean() * 10 / 4)

    def rouge_l(self) -> float:
        """ROUGE-L in [0, 1]."""
        flat, ends = self.tokens.tolist(), [0, *np.cumsum(self.lengths).tolist()]
        # An empty caption is one empty word, -1.
        captions = [flat[start:end] or [-1] for start, end in itertools.pairwise(ends)]
        bounds = itertools.pairwise([*(self.first_reference + self.image_count).tolist(), len(captions)])
        total = 0.0
        for caption, (start, stop) in zip(captions[: self.image_count], bounds, strict=True):
            where: dict[int, int] = {}  # of each token, the bits of its places
            for place, token in enumerate(caption):
                where[token] = where.get(token, 0) | 1 << place
            full = (1 << len(caption)) - 1
            precision = recall = 0.0
            for reference in captions[start:stop]:
                # Hyyrö, "Bit-parallel LCS-length computation revisited", 2004: the zeros of `row` are the subsequence.
                row = full
                for token in reference:
                    if token in where:
                        hit = row & where[token]
                        row = (row + hit) | (row - hit)
                common = (~row & full).bit_count()
                precision = max(precision, common / len(caption))
                recall = max(recall, common / len(reference))
            if precision:
                total += 2.44 * precision * recall / (recall + 1.44 * precision)
        return total / self.image_count

    def value(self, name: str) -> float:
        """The metric of this name, one of METRICS; 0.0 of no images."""
        if not self.image_count:
            return 0.0
        if name == "cider-d":
            return self.cider_d()
        if name == "rouge-l":
            return self.rouge_l()
        return self.bleu(int(name[len("bleu-") :]))


def cut(rows: Ints, images: Ints) -> Captions:
    """Captions out of ids [N, T]: up to the first <EOS>, without <PAD> and <SOS>."""
    ended = np.cumsum(rows == EOS, axis=1) > 0
    kept = ~ended & (rows != PAD) & (rows != SOS)
    return Captions(rows[kept], kept.sum(axis=1), images)


def read(outputs: Any, labels: Any) -> Batch:
    """A batch out of what LEMUR hands a metric; see `Metric.__call__`."""
    if outputs.dim() == 3:
        outputs = outputs.argmax(dim=-1)
    if labels.dim() == 2:
        labels = labels.unsqueeze(1)
    if outputs.dim() != 2 or labels.dim() != 3 or len(outputs) != len(labels):
        raise ValueError(
            f"{NAME} takes ids [B, L] or scores [B, L, V] with labels [B, R, T]; "
            f"got {list(outputs.shape)} with {list(labels.shape)}"
        )
    ids: Ints = outputs.detach().long().cpu().numpy()
    references: Ints = labels.detach().long().cpu().numpy()
    real = (references != 0).any(axis=2)  # [B, R]; padding alone is no reference
    images = np.flatnonzero(real.any(axis=1))
    ids, references, real = ids[images], references[images], real[images]
    return Batch(cut(ids, np.arange(len(images))), cut(references[real], np.nonzero(real)[0]))


def shared_batch(outputs: Any, labels: Any) -> Batch:
    """The batch out of `outputs` and `labels`, read once for all metrics that are called with these two tensors."""
    if outputs.is_inference() or labels.is_inference():
        return read(outputs, labels)  # such tensors do not tell when they change
    versions = outputs._version, labels._version
    kept = getattr(labels, "lemur_caption_batch", None)
    if kept is None or kept[0]() is not outputs or kept[1] != versions:
        kept = weakref.ref(outputs), versions, read(outputs, labels)
        labels.lemur_caption_batch = kept
    batch: Batch = kept[2]
    return batch


def shared_corpus(batches: list[Batch]) -> Corpus:
    """All captions of `batches`, counted once for all metrics that gathered the same batches."""
    marks = [batch.mark for batch in batches]
    if batches[0].corpus is None or batches[0].corpus[0] != marks:
        batches[0].corpus = marks, Corpus(batches)
    return batches[0].corpus[1]


class Metric:
    """One metric as LEMUR uses it: called once a batch, then asked for its `result`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.reset()

    def reset(self) -> None:
        """Forget everything gathered."""
        self.batches: list[Batch] = []

    def __call__(self, outputs: Any, labels: Any) -> None:
        """Add a batch.

        outputs: token ids [B, L], or scores [B, L, V], of which the highest counts.
        labels: references, ids [B, R, T], or [B, T] for one reference each. Rows of padding alone are no references;
        an image without any reference is left out.
        Raises ValueError for other shapes.
        """
        self.batches.append(shared_batch(outputs, labels))

    def result(self) -> float:
        """The metric of all images that were added; 0.0 of none."""
        return shared_corpus(self.batches).value(self.name) if self.batches else 0.0


def create_metric(out_shape: Any = None) -> Metric:
    """LEMUR's interface; the vocabulary size in `out_shape` is not needed."""
    return Metric(NAME)

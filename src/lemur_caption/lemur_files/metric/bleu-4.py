# Part of lemur-caption (MIT licence); written by `lemur-caption register`.
"""Metric `bleu-4`: corpus BLEU-4 over token ids, as image captioning reports it.

Formula: Papineni et al., "BLEU: a Method for Automatic Evaluation of Machine Translation", ACL 2002, without smoothing.
n-gram matches and lengths are summed over all images before the one division:

    BLEU-4 = brevity * (p1 * p2 * p3 * p4) ** (1 / 4)
    p_n = clipped n-gram matches / n-grams of the captions
    brevity = 1 if c > r else exp(1 - r / c), c the captions' length, r the sum of the closest references' lengths

A caption with fewer than n tokens counts as one n-gram without a match, as in NLTK's `corpus_bleu`, which this equals.
"""

import math
from collections import Counter

PAD, SOS, EOS = 0, 1, 2
MAX_N = 4


def words(ids):
    """The ids before the first <EOS>, as a tuple, without <PAD> and <SOS>. <UNK> is a word like any other."""
    if EOS in ids:
        ids = ids[: ids.index(EOS)]
    return tuple(i for i in ids if i not in (PAD, SOS))


def ngrams(tokens, n):
    """How often each run of n tokens occurs."""
    return Counter(zip(*(tokens[start:] for start in range(n))))


class Bleu4:
    """Corpus BLEU-4 in [0, 1], gathered batch by batch."""

    def __init__(self):
        self.reset()

    def reset(self):
        """Forget everything gathered."""
        self.matches = [0] * MAX_N
        self.totals = [0] * MAX_N
        self.caption_length = 0
        self.reference_length = 0

    def __call__(self, outputs, labels):
        """Add a batch.

        outputs: token ids [B, L], or scores [B, L, V], of which the highest counts.
        labels: references, ids [B, R, T], or [B, T] for one reference each. Rows of padding alone are no references;
        an image without any reference is left out.
        Raises ValueError for other shapes.
        """
        if outputs.dim() == 3:
            outputs = outputs.argmax(dim=-1)
        if labels.dim() == 2:
            labels = labels.unsqueeze(1)
        if outputs.dim() != 2 or labels.dim() != 3 or len(outputs) != len(labels):
            raise ValueError(
                "bleu-4 takes ids [B, L] or scores [B, L, V] with labels [B, R, T]; "
                f"got {list(outputs.shape)} with {list(labels.shape)}"
            )
        for caption, rows in zip(outputs.tolist(), labels.tolist()):
            references = [words(row) for row in rows if any(row)]
            if references:
                self.add(words(caption), references)

    def add(self, caption, references):
        """Add one caption, a tuple of tokens, with its references."""
        length = len(caption)
        self.caption_length += length
        self.reference_length += min((abs(len(ref) - length), len(ref)) for ref in references)[1]
        for n in range(1, MAX_N + 1):
            allowed = Counter()
            for reference in references:
                allowed |= ngrams(reference, n)
            self.matches[n - 1] += sum((ngrams(caption, n) & allowed).values())
            self.totals[n - 1] += max(1, length - n + 1)

    def result(self):
        """BLEU-4 of all that was added; 0.0 where some n-gram order has no match, or nothing was added."""
        if min(self.matches) == 0:
            return 0.0
        brevity = min(0.0, 1 - self.reference_length / self.caption_length)
        precision = sum(math.log(hit / total) for hit, total in zip(self.matches, self.totals)) / MAX_N
        return math.exp(brevity + precision)


def create_metric(out_shape=None):
    """LEMUR's interface; the vocabulary size in `out_shape` is not needed."""
    return Bleu4()

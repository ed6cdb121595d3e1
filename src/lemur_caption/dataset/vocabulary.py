"""Words and their ids, built from captions alone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version

PAD, SOS, EOS, UNK = 0, 1, 2, 3
SPECIALS = ("<PAD>", "<SOS>", "<EOS>", "<UNK>")

# COCO 2017 has 591,753 training captions; with a word kept from five uses on it gives about 10k words.
# A set under the cut has too few captions for that threshold: it keeps every word.
LARGE_SET_CAPTIONS = 50_000
LARGE_SET_MIN_COUNT = 5


# Most captions are words, commas and a final full stop. All that the tokenizer's thirty substitutions do to such a caption is to
# set commas and the stop apart, and to split the words below: twenty times faster done without them.
_PLAIN = re.compile(r"[a-z0-9 ]*(?:[a-z0-9], [a-z0-9 ]*)*\.?")
_CONTRACTIONS = re.compile(r"\b(?:cannot|gimme|gonna|gotta|lemme|wanna)\b")


def tokenizer_name() -> str:
    """The tokenizer with its version: what cached tokens depend on."""
    return f"lower-case NLTK treebank {version('nltk')}"


def tokenize(caption: str) -> list[str]:
    """Lower-case Treebank tokens of one caption, NLTK's exactly.

    Needs no NLTK data, because lines are not split into sentences.
    """
    text = caption.lower()
    plain = text.rstrip()
    if _PLAIN.fullmatch(plain) and not _CONTRACTIONS.search(plain):
        return plain.replace(",", " ,").replace(".", " .").split()
    from nltk.tokenize import word_tokenize

    tokens: list[str] = word_tokenize(text, preserve_line=True)
    return tokens


def threshold(captions: int) -> int:
    """How often a word must be used in a set of so many captions: 5 from 50,000 captions on, as is usual for COCO, else 1."""
    return LARGE_SET_MIN_COUNT if captions >= LARGE_SET_CAPTIONS else 1


@dataclass(frozen=True)
class Vocabulary:
    """The special tokens, then the words in alphabetical order; a token's id is its position."""

    words: tuple[str, ...]
    word2idx: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "word2idx", {word: index for index, word in enumerate(self.words)})

    @classmethod
    def build(cls, captions: Sequence[Sequence[str]], min_count: int | None = None) -> Vocabulary:
        """Vocabulary of tokenized captions: words used at least `min_count` times, by default as often as `threshold` asks."""
        counts = Counter(token for caption in captions for token in caption)
        return cls.of_counts(counts, threshold(len(captions)) if min_count is None else min_count)

    @classmethod
    def of_counts(cls, counts: Mapping[str, int], min_count: int) -> Vocabulary:
        """Vocabulary of the words that are counted at least `min_count` times."""
        return cls(SPECIALS + tuple(sorted(word for word, count in counts.items() if count >= min_count)))

    def __len__(self) -> int:
        return len(self.words)

    @property
    def idx2word(self) -> dict[int, str]:
        return dict(enumerate(self.words))

    def encode(self, tokens: Sequence[str], max_length: int) -> list[int]:
        """`<SOS> tokens… <EOS>` as ids, cut to `max_length` ids with the `<EOS>` kept."""
        ids = [self.word2idx.get(token, UNK) for token in tokens[: max_length - 2]]
        return [SOS, *ids, EOS]

    def decode(self, ids: Iterable[int]) -> str:
        """The words up to the first `<EOS>`, joined by spaces, without `<PAD>` and `<SOS>`."""
        words = []
        for index in ids:
            if index == EOS:
                break
            if index not in (PAD, SOS):
                words.append(self.words[index])
        return " ".join(words)

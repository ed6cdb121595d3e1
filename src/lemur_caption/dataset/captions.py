"""Captions as a few flat arrays: small, sliced fast, and shared by all processes that map them from one file."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np

from lemur_caption.dataset.annotations import CaptionedImage, parse_annotations
from lemur_caption.dataset.array_file import TornFile, read_arrays
from lemur_caption.dataset.vocabulary import EOS, SOS, UNK, Vocabulary, threshold, tokenize
from lemur_caption.errors import DatasetError

SPLITS = ("train", "val")
CAPTIONS_PER_IMAGE = 5
# `<SOS>` and `<EOS>` included. Hardly any caption of COCO is longer, and one of 300 words would multiply a batch's memory.
MAX_CAPTION_LENGTH = 50

Arrays = Mapping[str, np.ndarray]


def pack_texts(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Texts in UTF-8, uint8 `[bytes]`, and the borders between them, int64 `[texts + 1]`."""
    # JSON may hold half of a surrogate pair, for which UTF-8 proper has no bytes.
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    borders = np.zeros(len(encoded) + 1, dtype=np.int64)
    np.cumsum([len(text) for text in encoded], out=borders[1:])
    return np.frombuffer(b"".join(encoded), dtype=np.uint8), borders


class PackedTexts(Sequence[str]):
    """The texts that `pack_texts` packed, unpacked one by one when asked for."""

    def __init__(self, utf8: np.ndarray, borders: np.ndarray) -> None:
        self._utf8 = utf8
        self._borders = borders

    def __len__(self) -> int:
        return len(self._borders) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[place] for place in range(len(self))[index]]
        place = range(len(self))[index]
        return self._utf8[self._borders[place] : self._borders[place + 1]].tobytes().decode("utf-8", "surrogatepass")

    def __iter__(self) -> Iterator[str]:
        content, start = self._utf8.tobytes(), 0
        for end in self._borders[1:].tolist():
            yield content[start:end].decode("utf-8", "surrogatepass")
            start = end


@dataclass(frozen=True)
class Origin:
    """The file that a table is mapped from."""

    path: Path
    checksum: bytes


@dataclass(frozen=True, eq=False)
class CaptionTable:
    """One split by ascending image id. An image has five caption rows: the first five of the file, or fewer and then empty rows.

    `arrays` holds `image_ids`, int64 `[images]`; `names` and `name_borders`, the file names as `pack_texts` gives them; `ids`,
    int32 `[tokens]`, every caption as `<SOS> words… <EOS>`; and `ends`, int64 `[5 * images + 1]`: row r is
    `ids[ends[r]:ends[r + 1]]`.
    """

    split: str
    arrays: Arrays
    origin: Origin | None = None

    def __len__(self) -> int:
        return len(self.arrays["image_ids"])

    @property
    def names(self) -> Sequence[str]:
        """The file names of the images."""
        return _FileNames(self)

    def __reduce__(self) -> tuple[Any, ...]:
        """To another process travels the path of a table's file, not its arrays."""
        if self.origin is None:
            return CaptionTable, (self.split, self.arrays)
        return _reopen, (self.split, self.origin)


class _FileNames(PackedTexts):
    """A table's file names. They travel with the table."""

    def __init__(self, table: CaptionTable) -> None:
        super().__init__(table.arrays["names"], table.arrays["name_borders"])
        self._table = table

    def __reduce__(self) -> tuple[Any, ...]:
        return _FileNames, (self._table,)


def _reopen(split: str, origin: Origin) -> CaptionTable:
    try:
        checksum, _, arrays = read_arrays(origin.path)
    except (OSError, TornFile):
        checksum, arrays = b"", {}
    if checksum != origin.checksum:
        raise DatasetError(f"the caption cache {origin.path} was changed or removed during the run: start it again")
    return CaptionTable(split, arrays_of(split, arrays), origin)


def arrays_of(split: str, arrays: Arrays) -> Arrays:
    """The arrays that are named `split/…`, without that."""
    return {name.removeprefix(f"{split}/"): array for name, array in arrays.items() if name.startswith(f"{split}/")}


@dataclass(frozen=True)
class Captions:
    """Both splits, encoded with the vocabulary of the training captions."""

    vocabulary: Vocabulary
    train: CaptionTable
    val: CaptionTable


def encode(contents: Mapping[str, tuple[Path, bytes]]) -> Captions:
    """Read, tokenize and encode the caption files of both splits, given as path and content. Raises DatasetError."""
    words = _Numbering()
    numbered = {}
    counts: dict[str, int] = {}
    rare = 1
    for split in SPLITS:
        images = parse_annotations(*contents[split])
        numbered[split] = _number(images, words)
        if split == "train":
            counts = dict(zip(words, np.bincount(numbered[split].tokens, minlength=len(words)).tolist(), strict=True))
            rare = threshold(len(numbered[split].borders) - 1)
    vocabulary = Vocabulary.of_counts(counts, rare)
    lookup = np.array([vocabulary.word2idx.get(word, UNK) for word in words], dtype=np.int32)
    tables = {split: CaptionTable(split, _layout(found, lookup)) for split, found in numbered.items()}
    return Captions(vocabulary, tables["train"], tables["val"])


class _Numbering(dict[str, int]):
    """Words and their numbers in the order of their first use: a word that is looked up gets one."""

    def __missing__(self, word: str) -> int:
        return self.setdefault(word, len(self))


@dataclass(frozen=True)
class _Numbered:
    """A split with all its captions as numbers of words, uncut; caption c is `tokens[borders[c]:borders[c + 1]]`."""

    image_ids: np.ndarray
    names: np.ndarray
    name_borders: np.ndarray
    captions: np.ndarray  # of each image, how many
    tokens: np.ndarray
    borders: np.ndarray


def _number(images: Sequence[CaptionedImage], words: _Numbering) -> _Numbered:
    tokens, borders = array("i"), array("q", [0])
    for image in images:
        for caption in image.captions:
            tokens.extend(map(words.__getitem__, tokenize(caption)))
            borders.append(len(tokens))
    return _Numbered(
        np.array([image.image_id for image in images], dtype=np.int64),
        *pack_texts([image.file_name for image in images]),
        np.array([len(image.captions) for image in images], dtype=np.int64),
        np.frombuffer(tokens, dtype=np.int32) if tokens else np.zeros(0, dtype=np.int32),
        np.frombuffer(borders, dtype=np.int64),
    )


def _layout(found: _Numbered, lookup: np.ndarray) -> Arrays:
    """The arrays of a CaptionTable; `lookup` gives the id of each word number."""
    first = np.cumsum(found.captions) - found.captions
    place = np.arange(CAPTIONS_PER_IMAGE)
    present = (place < found.captions[:, None]).ravel()
    caption = (first[:, None] + place).ravel()[present]
    starts = found.borders[caption]
    lengths = np.zeros(len(present), dtype=np.int64)
    lengths[present] = np.minimum(found.borders[caption + 1] - starts, MAX_CAPTION_LENGTH - 2) + 2
    ends = np.concatenate([[0], np.cumsum(lengths)])
    first_ids, last_ids = ends[:-1][present], ends[1:][present] - 1

    # The places of the words, caption by caption, in the file's tokens.
    counts = lengths[present] - 2
    places = np.arange(counts.sum()) + np.repeat(starts - (np.cumsum(counts) - counts), counts)
    ids = np.empty(ends[-1], dtype=np.int32)
    is_word = np.ones(len(ids), dtype=bool)
    is_word[first_ids] = is_word[last_ids] = False
    ids[is_word] = lookup[found.tokens[places]]
    ids[first_ids], ids[last_ids] = SOS, EOS
    return {
        "image_ids": found.image_ids,
        "names": found.names,
        "name_borders": found.name_borders,
        "ids": ids,
        "ends": ends,
    }

"""The caption cache of a data folder: one file, made by whoever comes first, mapped by all others.

A cache counts when it is whole and was made of the very bytes that the caption files hold now, by the same tokenizer and rules.
The files are read and hashed whenever a data set is opened: size and time stamps may survive a change (a copy that
keeps them, two writes within one tick of the clock), and COCO's 90 MB hash in a tenth of a second.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

from lemur_caption.dataset import captions, vocabulary
from lemur_caption.dataset.annotations import caption_file, parse_annotations, read_file
from lemur_caption.dataset.array_file import TornFile, read_arrays, write_arrays
from lemur_caption.dataset.cache_folder import (
    CACHE_VARIABLE,
    CacheError,
    cache_folder,
    locked,
    publish,
    remove_leftovers,
    temporary_path,
)
from lemur_caption.dataset.captions import SPLITS, Captions, CaptionTable, Origin, PackedTexts, arrays_of, pack_texts

NAME = "captions"
# Raise when the arrays or what they mean change.
FORMAT = 1

_log = logging.getLogger(__name__)


def cache_path(folder: Path) -> Path:
    """The file of a data folder's caption cache."""
    return cache_folder(folder) / f"{NAME}.cache"


def open_captions(folder: Path) -> Captions:
    """The captions of a folder in COCO-2017 layout, from its cache; the cache is made where there is none that counts.

    Where it cannot be written the captions are held in memory, and one warning says so. Raises DatasetError for unusable caption
    files.
    """
    found, refusal = _open(folder)
    if refusal:
        _log.warning("captions are not cached, and are read anew in each run: %s", refusal)
    return found


def prepare(folder: Path) -> Captions:
    """`open_captions` that insists on the cache. Raises CacheError where it cannot be written."""
    found, refusal = _open(folder)
    if refusal:
        raise CacheError(f"{refusal}; free some space, or point {CACHE_VARIABLE} at another folder")
    return found


def peek(folder: Path) -> tuple[bool, dict[str, Sequence[str]]]:
    """Whether the cache counts, and the names of each split's image files. Makes nothing; raises DatasetError."""
    contents = _contents(folder)
    if found := _load(cache_path(folder), _key(contents)):
        return True, {table.split: table.names for table in (found.train, found.val)}
    return False, {split: [image.file_name for image in parse_annotations(*contents[split])] for split in SPLITS}


def clear(folder: Path) -> int:
    """Remove a data folder's caption cache and what killed writers left of it: the bytes freed.

    Raises CacheError where it cannot be removed, and while another process makes it.
    """
    path = cache_path(folder)
    if not path.parent.is_dir():
        return 0
    freed = 0
    try:
        with locked(path.parent, NAME, seconds=0):
            for file in path.parent.glob(f"{path.name}*"):
                freed += file.stat().st_size
                file.unlink()
    except TimeoutError:
        raise CacheError(
            f"the caption cache {path} is being made by another process: wait for it, or stop it"
        ) from None
    except OSError as error:
        raise CacheError(
            f"the caption cache {path} cannot be removed ({error.strerror}): check its permissions"
        ) from error
    return freed


def _open(folder: Path) -> tuple[Captions, str]:
    """The captions, and why they are not in a cache; nothing where they are."""
    path = cache_path(folder)
    contents = _contents(folder)
    if found := _load(path, _key(contents)):
        return found, ""
    made = None
    try:
        with locked(path.parent, NAME):
            # Read again: the files may have changed while this process waited.
            contents = _contents(folder)
            key = _key(contents)
            if found := _load(path, key):
                return found, ""
            made = captions.encode(contents)
            _write(path, key, made)
            return _load(path, key) or made, ""
    except OSError as error:
        refusal = f"the caption cache {path} cannot be written ({error.strerror or error})"
        return made or captions.encode(contents), refusal


def _write(path: Path, key: Mapping[str, Any], made: Captions) -> None:
    """Put a cache in its place; the lock is held. Raises OSError and leaves nothing then."""
    remove_leftovers(path)
    words, word_borders = pack_texts(made.vocabulary.words)
    arrays = {"words": words, "word_borders": word_borders}
    for table in (made.train, made.val):
        arrays |= {f"{table.split}/{name}": found for name, found in table.arrays.items()}
    temporary = temporary_path(path)
    try:
        write_arrays(temporary, key, arrays)
        publish(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _contents(folder: Path) -> dict[str, tuple[Path, bytes]]:
    paths = {split: caption_file(folder, split) for split in SPLITS}
    return {split: (path, read_file(path)) for split, path in paths.items()}


def _key(contents: Mapping[str, tuple[Path, bytes]]) -> dict[str, Any]:
    """All that a cache's content depends on."""
    return {
        "format": FORMAT,
        "tokenizer": vocabulary.tokenizer_name(),
        "threshold": [vocabulary.LARGE_SET_CAPTIONS, vocabulary.LARGE_SET_MIN_COUNT],
        "rows": [captions.CAPTIONS_PER_IMAGE, captions.MAX_CAPTION_LENGTH],
        "files": {split: blake2b(text, digest_size=32).hexdigest() for split, (_, text) in contents.items()},
    }


def _load(path: Path, key: Mapping[str, Any]) -> Captions | None:
    """The captions of a cache, or None where it is absent, torn or made of something else."""
    try:
        checksum, info, arrays = read_arrays(path)
    except (OSError, TornFile):
        return None
    if info != key:
        return None
    words = tuple(PackedTexts(arrays["words"], arrays["word_borders"]))
    origin = Origin(path, checksum)
    train, val = (CaptionTable(split, arrays_of(split, arrays), origin) for split in SPLITS)
    return Captions(vocabulary.Vocabulary(words), train, val)

"""Reading a caption file in COCO's format, and saying plainly what is wrong with a bad one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lemur_caption.errors import DatasetError


@dataclass(frozen=True)
class CaptionedImage:
    """One image of a caption file with its captions, in the file's order; at least one, none of them blank."""

    image_id: int
    file_name: str
    captions: tuple[str, ...]


def read_file(path: Path) -> bytes:
    """The file's content. Raises DatasetError where it is absent or unreadable."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise DatasetError(f"{path} is missing: put COCO's caption annotations there") from None
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror}): check its permissions") from error


def read_json(path: Path) -> Any:
    """The parsed file. Raises DatasetError where it is absent, unreadable or not JSON."""
    return _parse_json(path, read_file(path))


def _parse_json(path: Path, text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path} is not JSON ({one_line(error)}): copy it again from its source") from error


def caption_file(folder: Path, split: str) -> Path:
    """The caption file of a split, `train` or `val`, in a folder in COCO-2017 layout."""
    return folder / "annotations" / f"captions_{split}2017.json"


def read_annotations(path: Path) -> list[CaptionedImage]:
    """`parse_annotations` of a file. Raises DatasetError, also where it is absent or unreadable."""
    return parse_annotations(path, read_file(path))


def parse_annotations(path: Path, text: bytes) -> list[CaptionedImage]:
    """The images of a caption file with their captions, by ascending image id; `text` is the file's content.

    A blank caption counts as absent. Raises DatasetError for a file of another structure, an image id given twice,
    an image without a caption, a caption whose image is not listed, and a file that lists no image.
    """
    content = _parse_json(path, text)
    file_names: dict[int, str] = {}
    for entry in _entries(path, content, "images", {"id": int, "file_name": str}):
        if entry["id"] in file_names:
            raise DatasetError(f"{path} lists image id {entry['id']} twice: remove one of the two")
        if not -(2**63) <= entry["id"] < 2**63:
            raise DatasetError(
                f"{path} lists an image id of more than 64 bits, {str(entry['id'])[:30]}: give it another"
            )
        file_names[entry["id"]] = entry["file_name"]
    if not file_names:
        raise DatasetError(f"{path} lists no images: copy it again from its source")

    captions: dict[int, list[str]] = {image_id: [] for image_id in file_names}
    strangers = []
    for entry in _entries(path, content, "annotations", {"image_id": int, "caption": str}):
        if entry["image_id"] not in captions:
            strangers.append(entry["image_id"])
        elif entry["caption"].strip():
            captions[entry["image_id"]].append(entry["caption"])
    if strangers:
        raise DatasetError(
            f"{path}: {len(strangers)} captions name an image that the file does not list (first: image id {strangers[0]}); "
            "remove them or add the images"
        )
    bare = sorted(image_id for image_id, found in captions.items() if not found)
    if bare:
        raise DatasetError(
            f"{path}: {len(bare)} of {len(captions)} images have no caption (first: image id {bare[0]}); "
            "remove these images from the file or add captions"
        )
    return [CaptionedImage(image_id, file_names[image_id], tuple(captions[image_id])) for image_id in sorted(captions)]


def _entries(path: Path, content: Any, key: str, fields: dict[str, type]) -> list[dict[str, Any]]:
    """`content[key]`, known to be a list of objects that have `fields` of these types."""
    wanted = f"a list of objects with {' and '.join(repr(name) for name in fields)}"
    if not isinstance(content, dict) or not isinstance(content.get(key), list):
        found = "a JSON object" if isinstance(content, dict) else f"a JSON {type(content).__name__}"
        raise DatasetError(f"{path} is {found} without {key!r}, {wanted}: it is no COCO caption file")
    entries: list[dict[str, Any]] = content[key]
    for position, entry in enumerate(entries):
        if not isinstance(entry, dict) or not all(type(entry.get(name)) is kind for name, kind in fields.items()):
            raise DatasetError(f"{path}: {key}[{position}] does not fit {wanted}; correct or remove it")
    return entries


def one_line(error: BaseException) -> str:
    """An exception's text on one line, for the inside of a message."""
    return " ".join(str(error).split()) or type(error).__name__

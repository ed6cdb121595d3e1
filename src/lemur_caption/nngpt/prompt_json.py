"""NNGPT's prompt files: JSON objects of entries, each a text with placeholders and lists that say what fills them.

`input_list` fills from LEMUR's row of the baseline Net, `addon_list` from other Nets that serve as inspiration:
`{"para": "nn_code", "value": "nn_code"}` puts the row's column `nn_code` where the text says `{nn_code}`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..prompt.code_prompt import Template, code_prompt
from ..prompt.snippets import Snippet
from .placeholders import Filling, fill

TASK = "img-captioning"
SNIPPET_TASK = "img-classification"
# What the prompt is rendered with to be exported; no prompt says any of this by itself.
MARK = "LEMURCAPTION"
SCORE = 7177.125


@dataclass(frozen=True)
class PromptEntry:
    """One prompt of a file. `inputs` and `addons` are (placeholder, column of LEMUR's results) each.

    `prefixes` are how the names of its baselines begin. `wants_edits` is True where the answer shall be a diff or a list
    of edits, not a whole Net.
    """

    name: str
    text: str
    system: str = ""
    inputs: tuple[tuple[str, str], ...] = ()
    addons: tuple[tuple[str, str], ...] = ()
    task: str | None = TASK
    addon_task: str | None = None
    prefixes: tuple[str, ...] = ()
    wants_edits: bool = False

    @property
    def filling(self) -> Filling:
        return Filling(self.inputs, self.addons, self.addon_task is not None)

    @property
    def snippets(self) -> int:
        """How many Nets it shows besides the baseline. Raises UsageError as `template` does."""
        return self.filling.nets(self.name, self.text)

    def template(self, row: Mapping[str, Any], others: Mapping[str, Mapping[str, Any]] | None = None) -> Template:
        """What makes a prompt of a baseline's and the snippets' code; for `Request.template`.

        `row` is LEMUR's result of the baseline, whose code the caller gives (it may be cut to the token budget); `others`
        are results of the snippets' Nets by their names. Raises UsageError for a placeholder that nothing fills.
        """
        # The text is read once before anything is asked: a file that cannot be filled is the call's fault.
        fill(self.name, self.text, self.filling, row, [], {})

        def render(code: str, snippets: list[Snippet]) -> tuple[str, str]:
            shown = dict(row) | {"nn_code": code}
            return self.system, fill(self.name, self.text, self.filling, shown, snippets, others or {})

        return render


def load(path: str | Path) -> list[PromptEntry]:
    """The entries of one of NNGPT's prompt files, in their order. Raises UsageError for a file that is none."""
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"the prompt file {path} cannot be read ({error.strerror})") from error
    except ValueError as error:  # no JSON, or no UTF-8
        raise UsageError(f"the prompt file {path} is no JSON ({error})") from error
    if not isinstance(found, dict) or not found:
        raise UsageError(f"the prompt file {path} holds no object of prompts, as NNGPT's files do")
    return [_entry(f"{path}, {name}", entry) for name, entry in found.items()]


def _entry(where: str, entry: Any) -> PromptEntry:
    if not isinstance(entry, dict) or not entry.get("prompt"):
        raise UsageError(f"{where}: no prompt; NNGPT's entries have a list of lines under `prompt`")
    return PromptEntry(
        name=where,
        text="".join(line + "\n" for line in _lines(where, "prompt", entry["prompt"])),
        system="\n".join(_lines(where, "system", entry.get("system") or [])),
        inputs=_pairs(where, "input_list", entry),
        addons=_pairs(where, "addon_list", entry),
        task=_text(where, "task", entry),
        addon_task=_text(where, "addon_task", entry),
        prefixes=tuple(_lines(where, "nn_prefixes", entry.get("nn_prefixes") or [])),
        wants_edits=bool(entry.get("use_delta") or entry.get("use_edit")),
    )


def _lines(where: str, key: str, value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(line, str) for line in value):
        raise UsageError(f"{where}: `{key}` is no list of texts")
    return value


def _text(where: str, key: str, entry: Mapping[str, Any]) -> str | None:
    value = entry.get(key)
    if value is not None and not isinstance(value, str):
        raise UsageError(f"{where}: `{key}` is neither a text nor null")
    return value


def _pairs(where: str, key: str, entry: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    value = entry.get(key) or []
    pairs = [(item.get("para"), item.get("value")) for item in value if isinstance(item, dict)]
    if not isinstance(value, list) or len(pairs) < len(value):
        raise UsageError(f"{where}: `{key}` is no list of objects with `para` and `value`")
    if not all(isinstance(part, str) and part for pair in pairs for part in pair):
        raise UsageError(f"{where}: an object of `{key}` lacks the text `para` or `value`")
    return tuple((str(para), str(column)) for para, column in pairs)


def export(snippets: int = 5, size: str = "full") -> dict[str, Any]:
    """The `code` strategy's prompt as an object for NNGPT's tools; write it into a file of `ab/gpt/conf/prompt/test/`.

    It asks for `snippets` classification Nets; `size` is the scale of the Nets. Raises UsageError for an unknown size.
    """
    prompt = code_prompt(
        baseline_name=f"{MARK}nn",
        baseline_source=f"{MARK}code",
        baseline_score=SCORE,
        # NNGPT fills one placeholder for each addon, so its name is not to be had.
        snippets=[Snippet(f"block {number}", f"{MARK}addon{number}\n") for number in range(1, snippets + 1)],
        size=size,
        budget_tokens=1,
        count_tokens=lambda text: 0,
    )
    places = {
        f"BLEU-4 {SCORE:.3f}": "{metric} {accuracy}",
        f"{MARK}nn": "{nn}",
        f"{MARK}code": "{nn_code}",
        # The last first: the mark of 1 is the beginning of the mark of 10.
        **{f"{MARK}addon{number}": f"{{addon_nn_code_{number}}}" for number in range(snippets, 0, -1)},
    }
    text = prompt.user.replace("{", "{{").replace("}", "}}")
    for mark, place in places.items():
        text = text.replace(mark, place)
    return {
        f"lemur_caption_code_{snippets}": {
            "comment": ["The prompt of lemur-caption's code strategy, for captioning Nets."],
            "system": prompt.system.split("\n"),
            "task": TASK,
            "addon_task": SNIPPET_TASK if snippets else None,
            "input_list": [{"para": name, "value": name} for name in ("nn", "nn_code", "metric", "accuracy")],
            "addon_list": [
                {"para": f"addon_nn_code_{number}", "value": "nn_code"} for number in range(1, snippets + 1)
            ],
            "no_repeat": [],
            "keep_same": [],
            "prompt": text.split("\n"),
        }
    }

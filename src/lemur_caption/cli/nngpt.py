"""`alter` and `prompts`: NNGPT's way of asking for Nets, and our prompt as a file for NNGPT's tools."""

from __future__ import annotations

import json as json_text
from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from . import options
from .console import out, print_json


def alter(
    test_conf: Annotated[str, typer.Argument(help="A prompt file of NNGPT's kind, or its name in NNGPT's own folder.")],
    epochs: Annotated[int, typer.Option(min=1, help="Rounds; in each every Net is shown once for each prompt.")] = 1,
    llm: options.Llm = "smollm2",
    gguf_file: Annotated[str | None, typer.Option(help="GGUF file of a Hugging Face model or folder.")] = None,
    only_nn: Annotated[str | None, typer.Option(help="Start from this Net alone.")] = None,
    nets: options.Nets = None,
    seed: options.Seed = 0,
    root: options.Root = None,
    offline: options.Offline = False,
    json: options.Json = False,
) -> None:
    """Ask for captioning Nets as NNGPT's AlterCaptionNN does, and keep the sound ones for `python -m ab.gpt.NNEval`.

    Every answer gets a folder out/nngpt/llm/epoch/A<epoch>/synth_nn/B<number>, and what was in `epoch` before is deleted. A
    Net that keeps the contract is its new_nn.py.
    """
    from ..nngpt import alter as make

    made = make(epochs, test_conf, llm, gguf_file, only_nn, nets=nets, seed=seed, root=root, offline=offline)
    if json:
        print_json([candidate.to_dict() for candidate in made])
    else:
        for candidate in made:
            verdict = candidate.outcome.value if candidate.outcome else "sound"
            out.print(f"{candidate.name}  {verdict}  {candidate.detail}".rstrip())
    raise typer.Exit(1 if any(candidate.outcome for candidate in made) else 0)


def prompts(
    file: Annotated[Path, typer.Argument(help="Where to write it, for example ab/gpt/conf/prompt/test/captions.json.")],
    snippets: options.Snippets = 5,
    size: Annotated[str, typer.Option(help="Scale of the Nets: `pocket` or `full`.")] = "full",
) -> None:
    """Write the prompt of `generate --strategy code` as a file for NNGPT's tools."""
    from ..nngpt import export

    text = json_text.dumps(export(snippets, size), indent=2, ensure_ascii=False) + "\n"
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{file} cannot be written ({error.strerror}); choose another place") from error
    out.print(f"written to {file}")

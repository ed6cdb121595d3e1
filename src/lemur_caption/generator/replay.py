"""Recorded responses, for tests and for scoring a run again without a model."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from lemur_caption.errors import GeneratorError, UsageError
from lemur_caption.generator.base import Prompt, Response, Sampling

CHARACTERS_PER_TOKEN = 4  # of English and code, roughly; a recording has no tokenizer


class Replay:
    """Answers with the `*.txt` files of a folder, one a call, in name order, whatever is asked.

    Raises UsageError where the folder is missing or holds no such file.
    """

    context_length = 16_384

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.name = f"replay:{folder}"
        if not str(folder) or not self.folder.is_dir():
            raise UsageError(f"'{self.name}': no such folder; name one that holds recorded responses (*.txt)")
        self._files = sorted(path for path in self.folder.glob("*.txt") if path.is_file())
        self._next = 0
        if not self._files:
            raise UsageError(f"'{self.name}': the folder holds no *.txt file; put one response in each")

    def count_tokens(self, text: str) -> int:
        """An estimate, rounded up: four characters a token."""
        return -(-len(text) // CHARACTERS_PER_TOKEN)

    def generate(self, prompt: Prompt, sampling: Sampling, schema: dict[str, Any] | None = None) -> Response:
        """The next recording, unchanged. Raises GeneratorError when all have been given or one cannot be read."""
        if self._next == len(self._files):
            raise GeneratorError(f"'{self.name}': all {len(self._files)} recorded responses are used up; ask for fewer")
        path = self._files[self._next]
        start = time.perf_counter()
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise GeneratorError(f"'{path}' cannot be read as UTF-8 text: {error}") from error
        finally:
            self._next += 1  # a damaged recording costs its own candidate, not the ones after it
        return Response(
            text=text,
            prompt_tokens=self.count_tokens(prompt.system) + self.count_tokens(prompt.user),
            new_tokens=self.count_tokens(text),
            seconds=time.perf_counter() - start,
        )

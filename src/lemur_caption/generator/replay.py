"""Recorded responses, for tests and for scoring a run again without a model."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

from lemur_caption.errors import GeneratorError, UsageError
from lemur_caption.generator.base import Prompt, Response, Sampling

SEED = re.compile(r"-seed(\d+)$")
CHARACTERS_PER_TOKEN = 4  # of English and code, roughly; a recording has no tokenizer


class Replay:
    """Answers with the `*.txt` files of a folder, one a call, in name order, whatever is asked.

    Where names end in `-seed<number>`, as `lemur-caption replay` writes them, each answers the call of that seed instead.

    Raises UsageError where the folder is missing or holds no such file.
    """

    context_length = 16_384

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.name = f"replay:{folder}"
        if not str(folder) or not self.folder.is_dir():
            raise UsageError(f"'{self.name}': no such folder; name one that holds recorded responses (*.txt)")
        self._files = sorted(path for path in self.folder.glob("*.txt") if path.is_file())
        # A run's own recordings carry the seed of the call that each answers, and are found by it.
        self._seeded = {int(match[1]): path for path in self._files if (match := SEED.search(path.stem))}
        self._next = 0
        if not self._files:
            raise UsageError(f"'{self.name}': the folder holds no *.txt file; put one response in each")

    def count_tokens(self, text: str) -> int:
        """An estimate, rounded up: four characters a token."""
        return -(-len(text) // CHARACTERS_PER_TOKEN)

    def skip(self, count: int) -> None:
        """Go on after the next `count` recordings, as if they had been given; a run that is resumed has used them."""
        self._next = min(self._next + count, len(self._files))

    def generate(self, prompt: Prompt, sampling: Sampling, schema: dict[str, Any] | None = None) -> Response:
        """The recording, unchanged. Raises GeneratorError when there is none for this call, or it cannot be read."""
        start = time.perf_counter()
        path = self._seeded_path(sampling.seed) if self._seeded else self._next_path()
        try:
            text = path.read_bytes().decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise GeneratorError(f"'{path}' cannot be read as UTF-8 text: {error}") from error
        return Response(
            text=text,
            prompt_tokens=self.count_tokens(prompt.system) + self.count_tokens(prompt.user),
            new_tokens=self.count_tokens(text),
            seconds=time.perf_counter() - start,
        )

    def _seeded_path(self, seed: int) -> Path:
        if seed not in self._seeded:
            raise GeneratorError(
                f"'{self.name}': no recorded response for the seed {seed}; give the run's own settings"
            )
        return self._seeded[seed]

    def _next_path(self) -> Path:
        if self._next == len(self._files):
            raise GeneratorError(f"'{self.name}': all {len(self._files)} recorded responses are used up; ask for fewer")
        # A damaged recording costs its own candidate, not the ones after it.
        self._next += 1
        return self._files[self._next - 1]

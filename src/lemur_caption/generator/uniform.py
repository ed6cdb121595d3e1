"""Answers drawn uniformly from the schema: what a search finds without a language model."""

from __future__ import annotations

import json
import random
from typing import Any

from lemur_caption.errors import GeneratorError
from lemur_caption.generator.base import Prompt, Response, Sampling


class Uniform:
    """Reads no prompt: every property of the JSON schema gets one of its enumerated values, all equally likely.

    The same seed and schema give the same answer. Temperature and nucleus sampling have no meaning here.
    """

    name = "random"
    context_length = 16_384

    def count_tokens(self, text: str) -> int:
        """0: nothing is read."""
        return 0

    def generate(self, prompt: Prompt, sampling: Sampling, schema: dict[str, Any] | None = None) -> Response:
        """A draw. Raises GeneratorError without a schema: only designs are enumerated."""
        if schema is None:
            raise GeneratorError("'random' draws designs alone; use it with --strategy design")
        rng = random.Random(f"random/{sampling.seed}")
        drawn = {name: rng.choice(values["enum"]) for name, values in schema["properties"].items()}
        return Response(json.dumps(drawn), prompt_tokens=0, new_tokens=0, seconds=0.0)

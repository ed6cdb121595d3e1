"""Any causal language model of the Hugging Face hub or of a folder, run here with transformers."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lemur_caption.errors import GeneratorError, UsageError
from lemur_caption.generator.base import (
    Prompt,
    Question,
    Response,
    Sampling,
    generate_singly,
    positive_option,
    split_options,
)

if TYPE_CHECKING:
    import torch

PAPER_MODEL = "deepseek-ai/DeepSeek-R1-0528-Qwen3-8B"
THINKING_TOKENS = 16_384
CONTEXT = 16_384  # where a model's configuration does not say
OPTIONS = ("4bit", "adapter", "batch", "context", "gguf", "max_new_tokens")


class HuggingFace:
    """A model, its tokenizer and its chat template. One question at a time: threads wait for each other.

    On CUDA the weights keep the type they are stored in, or are quantized to 4 bits (NF4) with `four_bit`, and are laid
    out by accelerate; on the CPU they are float32. `adapter` is the folder of a PEFT adapter, `gguf` a GGUF file within
    the model's folder or repository. `max_new_tokens` replaces the sampling's own limit; without it a model whose chat
    template knows `<think>` has at least 16,384 for an answer without a schema, as far as its context goes. `batch_size`
    is how many answers without a schema are generated together.

    The constructor raises UsageError for options that exclude each other, and GeneratorError where a folder or file is
    missing, or the model is not on disk with `HF_HUB_OFFLINE=1`. Weights are loaded at the first use.
    """

    def __init__(
        self,
        model: str = PAPER_MODEL,
        *,
        four_bit: bool = False,
        adapter: str | None = None,
        gguf: str | None = None,
        max_new_tokens: int | None = None,
        context_length: int | None = None,
        batch_size: int = 1,
    ) -> None:
        if four_bit and gguf:
            raise UsageError("'4bit' and 'gguf' exclude each other: a GGUF file is quantized already; leave out '4bit'")
        self._source = _locate(model, gguf)
        if adapter is not None and not Path(adapter).expanduser().is_dir():
            raise GeneratorError(f"no such folder '{adapter}'; name the PEFT adapter's folder (adapter_config.json)")
        self.name = "+".join(part for part in (model, gguf, adapter, "4bit" if four_bit else None) if part)
        self._four_bit = four_bit
        self._adapter = Path(adapter).expanduser() if adapter is not None else None
        self._gguf: dict[str, str] = {"gguf_file": gguf} if gguf else {}
        self._max_new_tokens = max_new_tokens
        self._context_length = context_length
        self.batch_size = batch_size
        self._lock = threading.RLock()

    @classmethod
    def from_argument(cls, argument: str) -> HuggingFace:
        """From `[MODEL or FOLDER][?option&option=value...]`. Raises UsageError for unknown options, and what __init__ raises."""
        model, options = split_options(argument, OPTIONS)
        for name in ("adapter", "gguf"):
            if options.get(name) == "":
                raise UsageError(f"the option '{name}' names nothing; write {name}=PATH")
        if options.get("4bit"):
            raise UsageError("the option '4bit' takes no value")
        return cls(
            model or PAPER_MODEL,
            four_bit="4bit" in options,
            adapter=options.get("adapter"),
            gguf=options.get("gguf"),
            max_new_tokens=positive_option(options, "max_new_tokens"),
            context_length=positive_option(options, "context"),
            batch_size=positive_option(options, "batch") or 1,
        )

    @cached_property
    def _loaded(self) -> _Loaded:
        from safetensors import SafetensorError

        try:
            tokenizer = _load_tokenizer(self._source, self._gguf)
            return _Loaded(tokenizer, _load_model(self._source, self._four_bit, self._adapter, self._gguf))
        except (ImportError, OSError, RuntimeError, ValueError, KeyError, SafetensorError) as error:
            raise GeneratorError(f"the model '{self.name}' cannot be loaded: {_one_line(error)}") from error

    @property
    def _tokenizer(self) -> Any:
        with self._lock:
            return self._loaded.tokenizer

    @cached_property
    def context_length(self) -> int:
        if self._context_length is not None:
            return self._context_length
        with self._lock:
            config = self._loaded.model.config.get_text_config()
        return int(getattr(config, "max_position_embeddings", None) or CONTEXT)

    @cached_property
    def _grammars(self) -> Any:
        from lemur_caption.generator.decoding import Grammars

        return Grammars(self._tokenizer, self._loaded.model.config.get_text_config().vocab_size)

    def count_tokens(self, text: str) -> int:
        with self._lock:  # a fast tokenizer refuses two callers at a time
            return len(self._tokenizer.encode(text, add_special_tokens=False))

    def generate(self, prompt: Prompt, sampling: Sampling, schema: dict[str, Any] | None = None) -> Response:
        """Answer `prompt`; with `schema`, in compact JSON that keeps it, without thinking first.

        The same seed gives the same text on the same machine. Thoughts stay in the text, in `<think>` tags.
        Raises GeneratorError where prompt and answer do not fit, memory runs out, or the schema cannot be compiled.
        """
        if schema is None:
            return self.generate_batch([prompt], sampling)[0]
        with self._lock:
            return self._constrained(prompt, sampling, schema)

    def generate_all(self, questions: Sequence[Question]) -> list[Response | GeneratorError]:
        """Questions without a schema that sample alike, seeds apart, in one batch; any others one by one.

        A batch draws from the seed of its first question; see `generate_batch`. Where it fails, each is asked alone, so
        that only the one at fault goes without an answer.
        """
        first = questions[0].sampling
        if all(asked.schema is None and replace(asked.sampling, seed=first.seed) == first for asked in questions):
            try:
                return [*self.generate_batch([asked.prompt for asked in questions], first)]
            except GeneratorError:
                return generate_singly(self, questions)
        return generate_singly(self, questions)

    def generate_batch(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[Response]:
        """Answer several prompts at once, one response each, in their order; free text.

        All rows draw from one stream of random numbers: the same batch with the same seed gives the same texts, a
        prompt in another batch does not. `seconds` is each response's equal share. Raises as `generate` does.
        """
        import torch

        with self._lock:
            start = time.perf_counter()
            tokenizer, model = self._loaded
            markups = [self._markup(prompt, thinking=True) for prompt in prompts]
            rows = [tokenizer.encode(markup, add_special_tokens=False) for markup in markups]
            limit = self._limit(sampling, max(map(len, rows)), thinking=True)
            ends = self._end_tokens
            try:
                answers = _sample(model, rows, limit, sampling, ends)
            except torch.OutOfMemoryError as error:
                raise self._out_of_memory() from error
            seconds = (time.perf_counter() - start) / len(rows)
        responses = []
        for markup, row, answer in zip(markups, rows, answers, strict=True):
            length = next((place for place, token in enumerate(answer) if token in ends), None)
            text = tokenizer.decode(answer[:length], skip_special_tokens=False)
            if markup.rstrip().endswith("<think>"):  # the template has opened the thoughts for the model
                text = f"<think>\n{text}"
            new = len(answer) if length is None else length
            responses.append(Response(text, len(row), new, seconds, truncated=length is None))
        return responses

    def _constrained(self, prompt: Prompt, sampling: Sampling, schema: dict[str, Any]) -> Response:
        import torch

        from lemur_caption.generator.decoding import complete

        start = time.perf_counter()
        tokenizer, model = self._loaded
        markup = self._markup(prompt, thinking=False)
        if markup.rstrip().endswith("<think>"):
            markup = f"{markup.rstrip()}\n\n</think>\n\n"
        ids = tokenizer.encode(markup, add_special_tokens=False)
        limit = self._limit(sampling, len(ids), thinking=False)
        try:
            constraint = self._grammars.constraint(schema)
        except RuntimeError as error:
            raise GeneratorError(f"the JSON schema cannot be compiled: {_one_line(error)}") from error
        try:
            sampling = replace(sampling, max_new_tokens=limit)
            completion = complete(_OnHost(model), ids, sampling, tokenizer.eos_token_id, constraint)
        except torch.OutOfMemoryError as error:
            raise self._out_of_memory() from error
        return Response(
            text=tokenizer.decode(completion.ids),
            prompt_tokens=len(ids),
            new_tokens=len(completion.ids),
            seconds=time.perf_counter() - start,
            truncated=completion.truncated,
        )

    def _markup(self, prompt: Prompt, thinking: bool) -> str:
        """The prompt as the model's chat template has it, up to where the answer starts."""
        from jinja2 import TemplateError

        tokenizer = self._tokenizer
        system = {"role": "system", "content": prompt.system}
        user = {"role": "user", "content": prompt.user}
        both = f"{prompt.system}\n\n{prompt.user}"
        if not tokenizer.chat_template:
            return f"{both}\n\n"
        # Templates without such a switch overlook it.
        options = {"add_generation_prompt": True, "tokenize": False, "enable_thinking": thinking}
        try:
            try:
                return str(tokenizer.apply_chat_template([system, user], **options))
            except TemplateError:  # some templates refuse a system role
                return str(tokenizer.apply_chat_template([user | {"content": both}], **options))
        except TemplateError as error:
            raise GeneratorError(f"the chat template of '{self.name}' fails: {_one_line(error)}") from error

    def _limit(self, sampling: Sampling, prompt_tokens: int, thinking: bool) -> int:
        """The most new tokens for an answer. Raises GeneratorError where the context does not leave what was asked for."""
        limit = self._max_new_tokens or sampling.max_new_tokens
        left = self.context_length - prompt_tokens
        if left < limit:
            raise GeneratorError(
                f"a prompt of {prompt_tokens} tokens and up to {limit} new ones do not fit "
                f"the {self.context_length} tokens of {self.name}; use fewer snippets"
            )
        if thinking and self._max_new_tokens is None and "think>" in str(self._tokenizer.chat_template or ""):
            return min(max(limit, THINKING_TOKENS), left)  # most of them go before the code starts
        return limit

    @cached_property
    def _end_tokens(self) -> frozenset[int]:
        # Chat models end a turn with one token and a document with another; both end an answer.
        told = self._loaded.model.generation_config.eos_token_id
        ends = {*(told if isinstance(told, list) else [told]), self._tokenizer.eos_token_id} - {None}
        if not ends:
            raise GeneratorError(f"the model '{self.name}' names no end token; it cannot be used for answers")
        return frozenset(ends)

    def _out_of_memory(self) -> GeneratorError:
        return GeneratorError(
            f"'{self.name}' ran out of GPU memory; add '?4bit', use fewer snippets or fewer new tokens"
        )


class _Loaded(NamedTuple):
    tokenizer: Any
    model: Any


class _OnHost:
    """The model with its inputs and logits on the CPU, where the grammar and the seeded draw work."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def __call__(self, ids: torch.Tensor, **options: Any) -> Any:
        output = self._model(ids.to(self._model.device), **options)
        output.logits = output.logits.cpu()
        return output


def _sample(model: Any, rows: list[list[int]], limit: int, sampling: Sampling, ends: frozenset[int]) -> list[list[int]]:
    """New token ids for each row of prompt ids, up to an end token and its padding or `limit` of them."""
    import torch

    width = max(map(len, rows))
    pad = min(ends)
    # Padded on the left, so that every answer starts in the same column.
    ids = torch.tensor([[pad] * (width - len(row)) + row for row in rows], device=model.device)
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=model.device)
    drawing: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
    if sampling.temperature > 0:
        drawing = {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0}
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    with torch.inference_mode(), torch.random.fork_rng(devices):
        torch.manual_seed(sampling.seed)
        output = model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=limit,
            eos_token_id=sorted(ends),
            pad_token_id=pad,
            **drawing,
        )
    return [row[width:] for row in output.tolist()]


def _load_tokenizer(source: str, gguf: dict[str, str]) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(source, **gguf)


def _load_model(source: str, four_bit: bool, adapter: Path | None, gguf: dict[str, str]) -> Any:
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    cuda = torch.cuda.is_available()
    options: dict[str, Any] = {"dtype": "auto", "device_map": "auto"} if cuda else {"dtype": torch.float32}
    if four_bit:
        if not cuda:
            raise RuntimeError("'4bit' needs a CUDA GPU; leave it out, or use a GGUF file")
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
    model = AutoModelForCausalLM.from_pretrained(source, **options, **gguf)
    if adapter is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, adapter)
    return model.eval()


def _locate(model: str, gguf: str | None) -> str:
    """The folder, or the repository's name, that `model` means. Raises GeneratorError where it is known to be missing."""
    folder = Path(model).expanduser()
    if folder.is_dir():
        if gguf and not (folder / gguf).is_file():
            raise GeneratorError(f"no file '{gguf}' in '{model}'; name one of the GGUF files that are there")
        if not gguf and not any((folder / name).is_file() for name in ("config.json", "adapter_config.json")):
            raise GeneratorError(f"'{model}' holds no config.json; name a model's folder, or add '?gguf=FILE'")
        return str(folder)
    if model.startswith(("/", ".", "~")) or model.count("/") > 1:
        raise GeneratorError(f"no such folder '{model}'; name a model's folder, or a repository as OWNER/MODEL")
    from huggingface_hub import constants, try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        files = (gguf,) if gguf else ("config.json", "adapter_config.json")
        cached = any(isinstance(try_to_load_from_cache(model, file), str) for file in files)
    except HFValidationError as error:
        raise GeneratorError(f"'{model}' is neither a folder nor a repository's name (OWNER/MODEL)") from error
    if constants.is_offline_mode() and not cached:
        raise GeneratorError(
            f"the model '{model}' is not on disk and HF_HUB_OFFLINE is set; "
            f"unset it, or run where there is a network: hf download {model}"
        )
    return model


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:400] or type(error).__name__

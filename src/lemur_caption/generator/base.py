"""The interface that every back end keeps, and the look-up from a spec string to a back end."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable
from urllib.parse import unquote

from lemur_caption.errors import GeneratorError, UsageError


@dataclass(frozen=True)
class Prompt:
    """What a language model is asked. `dropped` says, one line each, what the token budget left out."""

    system: str
    user: str
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn. `temperature` 0 takes the likeliest token; `top_p` is nucleus sampling's mass in (0, 1]."""

    temperature: float = 0.8
    top_p: float = 0.95
    max_new_tokens: int = 512
    seed: int = 0

    def __post_init__(self) -> None:
        if self.temperature < 0:
            raise UsageError(f"temperature is {self.temperature}; give 0 or more")
        if not 0 < self.top_p <= 1:
            raise UsageError(f"top_p is {self.top_p}; give a number above 0 and at most 1")
        if self.max_new_tokens < 1:
            raise UsageError(f"max_new_tokens is {self.max_new_tokens}; give 1 or more")


@dataclass(frozen=True)
class Response:
    """One answer. `truncated` is True when it ran out of new tokens before the model ended it."""

    text: str
    prompt_tokens: int
    new_tokens: int
    seconds: float
    truncated: bool = False


@runtime_checkable
class Generator(Protocol):
    """A source of responses.

    `name` goes into records; `context_length` is the most tokens that prompt and response may have together.
    """

    @property
    def name(self) -> str: ...

    @property
    def context_length(self) -> int: ...

    def count_tokens(self, text: str) -> int:
        """The tokens of `text`, special tokens and chat markup not counted."""
        ...

    def generate(self, prompt: Prompt, sampling: Sampling, schema: dict[str, Any] | None = None) -> Response:
        """Answer `prompt`; with `schema` (JSON Schema), a back end that can constrains the answer to it.

        Raises GeneratorError when there is no answer to give.
        """
        ...


@dataclass(frozen=True)
class Question:
    """All that one call of a generator is given."""

    prompt: Prompt
    sampling: Sampling
    schema: dict[str, Any] | None = None


@runtime_checkable
class BatchGenerator(Generator, Protocol):
    """A back end that answers several questions sooner together than one by one."""

    @property
    def batch_size(self) -> int:
        """How many questions it likes to be given at once."""
        ...

    def generate_all(self, questions: Sequence[Question]) -> list[Response | GeneratorError]:
        """An answer to each question, in their order; an error stands in the place of the answer that it cost."""
        ...


def batch_size(generator: Generator) -> int:
    """How many questions a back end likes to be given at once; 1 where it takes them one by one."""
    return generator.batch_size if isinstance(generator, BatchGenerator) else 1


def generate_all(generator: Generator, questions: Sequence[Question]) -> list[Response | GeneratorError]:
    """An answer to each question, in their order, from any back end; see `BatchGenerator`."""
    if isinstance(generator, BatchGenerator) and len(questions) > 1:
        return generator.generate_all(questions)
    return generate_singly(generator, questions)


def generate_singly(generator: Generator, questions: Sequence[Question]) -> list[Response | GeneratorError]:
    """An answer to each question, in their order, asked one after the other."""
    return [_generate(generator, question) for question in questions]


def _generate(generator: Generator, question: Question) -> Response | GeneratorError:
    try:
        return generator.generate(question.prompt, question.sampling, question.schema)
    except GeneratorError as error:
        return error


Factory = Callable[[str], Generator]
"""Makes a back end from what follows the colon of a spec (an empty string where there is no colon)."""


def _smollm2(argument: str) -> Generator:
    if argument:
        raise UsageError(f"'smollm2' takes nothing after it, and was given '{argument}'")
    from lemur_caption.generator.smollm2 import SmolLM2

    return SmolLM2()


def _replay(argument: str) -> Generator:
    from lemur_caption.generator.replay import Replay

    return Replay(argument)


def _hf(argument: str) -> Generator:
    from lemur_caption.generator.huggingface import HuggingFace

    return HuggingFace.from_argument(argument)


def _openai(argument: str) -> Generator:
    from lemur_caption.generator.openai_server import OpenAIServer

    return OpenAIServer.from_argument(argument)


def _random(argument: str) -> Generator:
    if argument:
        raise UsageError(f"'random' takes nothing after it, and was given '{argument}'")
    from lemur_caption.generator.uniform import Uniform

    return Uniform()


def builtin_backends() -> dict[str, Factory]:
    """The back ends that come with lemur-caption, by scheme."""
    return {"smollm2": _smollm2, "replay": _replay, "hf": _hf, "openai": _openai, "random": _random}


def split_options(argument: str, known: Collection[str]) -> tuple[str, dict[str, str]]:
    """What stands before the first `?` of a spec's argument, and the options after it, `name` or `name=value` each.

    Options are separated by `&`; `%26` and its like stand for the character itself, `+` for a plus sign.
    Raises UsageError for an option that is not `known` or stands there twice.
    """
    head, _, query = argument.partition("?")
    options: dict[str, str] = {}
    for part in query.split("&") if query else ():
        name, _, value = part.partition("=")
        if name not in known:
            raise UsageError(f"unknown option '{name}' in the language model's name; known: {', '.join(sorted(known))}")
        if name in options:
            raise UsageError(f"the option '{name}' stands twice in the language model's name; give it once")
        options[name] = unquote(value)
    return head, options


def positive_option(options: Mapping[str, str], name: str) -> int | None:
    """The whole number above 0 that an option gives, or None without it. Raises UsageError for anything else."""
    if name not in options:
        return None
    if not options[name].isdecimal() or int(options[name]) == 0:
        raise UsageError(f"the option '{name}' is '{options[name]}'; give a whole number above 0")
    return int(options[name])


def load(spec: str, backends: Mapping[str, Factory] | None = None) -> Generator:
    """The back end that `spec` names: `scheme` or `scheme:argument`.

    `backends` maps schemes to factories; without it the built-in ones are known.
    Raises UsageError for an unknown scheme, and whatever the factory raises.
    """
    known = builtin_backends() if backends is None else backends
    scheme, _, argument = spec.partition(":")
    if scheme not in known:
        raise UsageError(f"unknown language model '{spec}'; known: {', '.join(sorted(known))}")
    return known[scheme](argument)

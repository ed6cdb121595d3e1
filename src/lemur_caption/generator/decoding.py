"""Sampling from a causal language model, token by token, under a JSON schema where one is given."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import xgrammar

from lemur_caption.generator.base import Sampling


@dataclass(frozen=True)
class Completion:
    """The new token ids (the end token left out), and whether the token limit cut them off."""

    ids: list[int]
    truncated: bool


class Constraint(Protocol):
    """What may come next."""

    def forced(self) -> list[int]:
        """The tokens that must come next, already taken as accepted; none where there is a choice."""
        ...

    def mask(self, logits: torch.Tensor) -> None:
        """Set the logits [1, V] of tokens that may not come next to minus infinity."""
        ...

    def accept(self, token: int) -> bool:
        """Take `token` as the next one; True when the text is complete with it."""
        ...


class Grammars:
    """JSON schemas compiled for one tokenizer, each once."""

    def __init__(self, tokenizer: Any, vocabulary: int) -> None:
        self._tokenizer = tokenizer
        info = xgrammar.TokenizerInfo.from_huggingface(tokenizer, vocab_size=vocabulary)
        self._vocabulary = vocabulary
        self._compiler = xgrammar.GrammarCompiler(info, max_threads=1)
        self._compiled: dict[str, Any] = {}

    def constraint(self, schema: dict[str, Any]) -> JsonConstraint:
        key = json.dumps(schema)  # unsorted: the order of properties is the order of decoding
        if key not in self._compiled:
            # Free white space lets a small model run away into blanks.
            self._compiled[key] = self._compiler.compile_json_schema(key, any_whitespace=False)
        return JsonConstraint(self._compiled[key], self._tokenizer, self._vocabulary)


class JsonConstraint:
    """One answer's way through a compiled schema. For one use."""

    def __init__(self, compiled: Any, tokenizer: Any, vocabulary: int) -> None:
        self._matcher = xgrammar.GrammarMatcher(compiled, terminate_without_stop_token=True)
        self._bitmask = xgrammar.allocate_token_bitmask(1, vocabulary)
        self._tokenizer = tokenizer

    def forced(self) -> list[int]:
        text = self._matcher.find_jump_forward_string()
        accepted = []
        for token in self._tokenizer.encode(text, add_special_tokens=False) if text else ():
            if not self._matcher.accept_token(token):
                break  # the rest of the text is sampled, under the mask
            accepted.append(token)
        return accepted

    def mask(self, logits: torch.Tensor) -> None:
        self._matcher.fill_next_token_bitmask(self._bitmask)
        xgrammar.apply_token_bitmask_inplace(logits, self._bitmask)

    def accept(self, token: int) -> bool:
        self._matcher.accept_token(token)
        return self.complete

    @property
    def complete(self) -> bool:
        return bool(self._matcher.is_terminated())


def draw(logits: torch.Tensor, sampling: Sampling, random: torch.Generator) -> int:
    """A token id from logits [1, V]: temperature, then the smallest set of tokens that holds `top_p` of the mass."""
    if sampling.temperature == 0:
        return int(logits.argmax())
    chances, order = torch.softmax(logits[0].float() / sampling.temperature, 0).sort(descending=True)
    chances[chances.cumsum(0) - chances >= sampling.top_p] = 0.0
    return int(order[torch.multinomial(chances, 1, generator=random)])


@torch.inference_mode()
def complete(
    model: Any, ids: list[int], sampling: Sampling, end: int, constraint: JsonConstraint | None = None
) -> Completion:
    """Continue `ids` until the token `end`, a complete JSON text, or `sampling.max_new_tokens`.

    `model` is a transformers causal language model. Text that the grammar leaves no choice about (keys, quotes, the rest
    of an enumerated value) is appended without asking the model, which takes it in together with the next real choice:
    a design costs as many passes as it has decisions, not as it has tokens.
    """
    random = torch.Generator().manual_seed(sampling.seed)
    new: list[int] = []
    past = None
    pending = list(ids)
    while True:
        if constraint is not None:
            forced = constraint.forced()
            new += forced
            pending += forced
            if constraint.complete:
                return Completion(new[: sampling.max_new_tokens], truncated=len(new) > sampling.max_new_tokens)
        if len(new) >= sampling.max_new_tokens:
            return Completion(new[: sampling.max_new_tokens], truncated=True)
        output = model(torch.tensor([pending]), past_key_values=past, use_cache=True, logits_to_keep=1)
        past = output.past_key_values
        logits = output.logits[:, -1]
        if constraint is not None:
            constraint.mask(logits)
        token = draw(logits, sampling, random)
        if constraint is None and token == end:
            return Completion(new, truncated=False)
        if constraint is not None and constraint.accept(token):
            return Completion([*new, token], truncated=False)
        new.append(token)
        pending = [token]

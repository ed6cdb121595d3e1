"""A plug-in for lemur-caption: a contract rule for a search that wants GRUs, and a language model that is a constant."""

import ast
from collections.abc import Iterator

from lemur_caption import hookimpl
from lemur_caption.contract import Finding, Rule
from lemur_caption.generator import Prompt, Response, Sampling


class NoLSTM:
    """GR101: a Net of this search has no LSTM."""

    rule = Rule(
        id="GR101",
        name="no-lstm",
        stage="source",
        severity="error",
        rationale="This search compares GRU decoders, and an LSTM would not be compared with its like.",
        message="{name} is an LSTM",
        hint="Use nn.GRU with the same sizes; its hidden state is one tensor, not a pair.",
    )

    def check(self, tree: ast.Module, source: str) -> Iterator[Finding]:
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr in ("LSTM", "LSTMCell"):
                yield self.rule.finding(node.lineno, node.col_offset + 1, name=ast.unparse(node))


class Constant:
    """A language model that always gives the same answer: what follows the colon of `--llm constant:ANSWER`."""

    name = "constant"
    context_length = 8192

    def __init__(self, answer: str) -> None:
        self.answer = answer

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def generate(self, prompt: Prompt, sampling: Sampling, schema: dict | None = None) -> Response:
        return Response(self.answer, self.count_tokens(prompt.user), self.count_tokens(self.answer), seconds=0.0)


@hookimpl
def lemur_caption_rules():
    return [NoLSTM()]


@hookimpl
def lemur_caption_generators():
    return {"constant": Constant}

"""The `blocks` strategy: its prompt, the Net made of an answer's two classes, and how an answer becomes a candidate."""

from __future__ import annotations

import ast
import itertools
from functools import cache
from typing import Any

import pytest
import torch

from lemur_caption.candidate import Candidate, Outcome
from lemur_caption.contract import ContractReport, check_source, validate
from lemur_caption.contract.validator import ValidatorPool
from lemur_caption.errors import GeneratorError, UsageError
from lemur_caption.generator.base import Response, Sampling
from lemur_caption.lemur.registry import FILES
from lemur_caption.prompt import sample_snippets, torchvision_pool
from lemur_caption.prompt.blocks_prompt import blocks_prompt
from lemur_caption.source.skeleton import assemble, blocks_of, complete_roles, is_net, own_blocks
from lemur_caption.strategies import Request
from lemur_caption.strategies.asking import Answer
from lemur_caption.strategies.blocks import blocks_candidates, read_blocks

BASELINE = (FILES / "nn" / "CaptionLSTM.py").read_text(encoding="utf-8")
POOL = torchvision_pool()

ENCODER = '''
class Encoder(nn.Module):
    """Two convolutions."""

    def __init__(self, channels, hidden_size):
        super().__init__()
        self.first = nn.Conv2d(channels, 24, 5, stride=4, padding=2)
        self.second = nn.Conv2d(24, hidden_size, 3, stride=2, padding=1)
        self.pool = nn.AdaptiveAvgPool2d(2)

    def forward(self, images):
        return self.pool(F.relu(self.second(F.relu(self.first(images))))).flatten(2).transpose(1, 2)
'''
DECODER = """
class Decoder(nn.Module):
    def __init__(self, vocab_size, hidden_size):
        super().__init__()
        self.embed = nn.Embedding(vocab_size, hidden_size)
        self.lstm = nn.LSTM(2 * hidden_size, hidden_size, batch_first=True)
        self.out = nn.Linear(hidden_size, vocab_size)

    def forward(self, tokens, memory):
        seen = memory.mean(dim=1, keepdim=True).expand(-1, tokens.size(1), -1)
        states, _ = self.lstm(torch.cat([self.embed(tokens), seen], dim=-1))
        return self.out(states)
"""
IMPORTS = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n"
BOTH = IMPORTS + ENCODER + DECODER
SKELETONS = "the skeleton's own"


@pytest.fixture(scope="module")
def whole_contract():
    with ValidatorPool() as pool:
        yield lambda source: validate(source, pool=pool)


# --- the prompt ------------------------------------------------------------------------------------------------------


def tokens(text: str) -> int:
    return -(-len(text) // 4)


@cache
def drawn(k: int):
    return sample_snippets(POOL, k, seed=0)


def ask(k: int = 5, budget: int = 16_000, size: str = "pocket", baseline: str = BASELINE, **more):
    return blocks_prompt(
        baseline_name="CaptionLSTM",
        baseline_source=baseline,
        baseline_score=0.105,
        snippets=drawn(k),
        size=size,
        budget_tokens=budget,
        count_tokens=tokens,
        **more,
    )


def test_the_prompt_tells_the_narrow_interface_and_shows_a_complete_answer():
    prompt = ask(examples=[("GRU on a grid", 0.21)], avoid=["LC501 not causal"])
    for words in (
        "__init__(self, channels, hidden_size)",
        "forward(self, images): images [B, channels, height, width] of any size -> memory [B, S, hidden_size]",
        "__init__(self, vocab_size, hidden_size)",
        "forward(self, tokens, memory): tokens [N, T]",
        "logits [N, T, vocab_size]",
        "causal",
        "hidden_size is 256",
        "heads must divide it (4 or 8)",
        "at least three structural changes",
        "GRU on a grid: BLEU-4 0.210",
        "LC501 not causal",
    ):
        assert words in prompt.user, words
    example = prompt.user.split("```python\n")[1].split("```")[0]
    assert complete_roles(example) == 2 and own_blocks() in example
    assert "Python code only" in prompt.system and prompt.dropped == ()
    assert "hidden_size is 768; heads must divide it (8 or 12)" in ask(size="full").user
    with pytest.raises(UsageError, match="choose pocket or full"):
        ask(size="huge")


def test_of_the_baseline_only_encoder_and_decoder_are_shown():
    shown = ask().user.split("<nn_code>\n")[1].split("</nn_code>")[0]
    names = [node.name for node in ast.parse(shown).body if isinstance(node, ast.ClassDef)]
    assert names == ["Encoder", "Decoder"] and "small_resnet" in shown and "def learn" not in shown
    odd = "class Net(nn.Module):\n    def forward(self, images):\n        return images\n"
    assert odd in ask(baseline=odd).user, "a Net without the two classes is shown whole"


def test_instructions_are_short():
    prompt = ask(0)
    code = tokens(blocks_of(BASELINE)) + tokens(own_blocks())
    assert tokens(prompt.system) + tokens(prompt.user) - code < 900
    with pytest.raises(UsageError, match="without any code, and the budget is 300"):
        ask(budget=300)


@pytest.mark.parametrize(("k", "budget"), [(5, 1600), (10, 3000), (10, 6000)])
def test_a_budget_is_kept_and_what_it_cost_is_said(k, budget):
    prompt = ask(k, budget)
    assert tokens(prompt.system) + tokens(prompt.user) <= budget
    for snippet in drawn(k):
        assert (snippet.code in prompt.user) != any(f"snippet {snippet.name}" in note for note in prompt.dropped)


# --- assembling ------------------------------------------------------------------------------------------------------

NAMED = BOTH.replace("class Encoder", "class ImageEncoder").replace("class Decoder", "class CaptionDecoder")
ARGUMENTS = (
    BOTH.replace("__init__(self, channels, hidden_size)", "__init__(self, embed_dim, in_channels=3, depth=2)")
    .replace("Conv2d(channels, ", "Conv2d(in_channels, ")
    .replace("24, hidden_size, 3", "24, embed_dim, 3")
    .replace("forward(self, tokens, memory)", "forward(self, features, captions, hidden)")
    .replace("memory.mean", "features.mean")
    .replace("tokens", "captions")
)
HELPERS = (
    (
        IMPORTS
        + "import os\nfrom math import sqrt\n\nWIDTH = 24\nUNUSED = 1\n\n\ndef scaled(x):\n    return x / sqrt(WIDTH)\n\n\n"
        + "@torch.no_grad()\ndef unused(x):\n    return x\n\n"
        + ENCODER.replace("24", "WIDTH")
        .replace("return self.pool(", "return scaled(self.pool(")
        .replace("2)\n", "2))\n")
        + DECODER
        + "\nprint(Encoder(3, 8))\n"
    )
    .replace("AdaptiveAvgPool2d(2))", "AdaptiveAvgPool2d(2)")
    .replace("padding=2))", "padding=2)")
)
CLASHES = (
    IMPORTS
    + "PAD = 0\nCAPTION_LENGTH = 64\nHIDDEN_SIZE = 128\n\n\nclass Net(nn.Module):\n    def forward(self, Net):\n"
    + "        return F.relu(Net)\n\n"
    + ENCODER.replace("self.pool =", "self.act = Net()\n        self.pool =").replace(
        "F.relu(self.second(", "self.act(("
    )
    + DECODER.replace("nn.Embedding(vocab_size, hidden_size)", "nn.Embedding(vocab_size, hidden_size, padding_idx=PAD)")
    .replace("self.out =", "self.most = CAPTION_LENGTH\n        self.out =")
    .replace("states, _", "assert tokens.size(1) <= self.most\n        states, _")
).replace("self.act((F", "self.act(self.second(F")
WHOLE = BOTH + (
    "\n\nclass Net(nn.Module):\n    def __init__(self, in_shape, out_shape, prm, device):\n        super().__init__()\n"
    "        self.encoder = Encoder(3, 9)\n\n    def learn(self, train_data):\n        return None\n\n"
    "    def forward(self, images):\n        return self.encoder(images)\n"
)
FLAT = BOTH.replace(".flatten(2).transpose(1, 2)", ".mean(dim=(2, 3))")
GRID = BOTH.replace(".flatten(2).transpose(1, 2)", "").replace("24, hidden_size, 3", "24, 40, 3")
PAIR = BOTH.replace("return self.out(states)", "return self.out(states), None")
CUT = BOTH[: BOTH.index("states, _")]
SOUND = {
    "both": (
        BOTH,
        "Encoder(in_shape[1], HIDDEN_SIZE), the answer's; Decoder: Decoder(self.vocab_size, HIDDEN_SIZE), the",
    ),
    "encoder-only": (IMPORTS + ENCODER, f"Decoder: Decoder(self.vocab_size, HIDDEN_SIZE), {SKELETONS}"),
    "decoder-only": (IMPORTS + DECODER, f"Encoder: Encoder(in_shape[1], HIDDEN_SIZE), {SKELETONS}"),
    "other-names": (NAMED, "ImageEncoder(in_shape[1], HIDDEN_SIZE), the answer's; Decoder: CaptionDecoder("),
    "other-arguments": (ARGUMENTS, "Encoder(embed_dim=HIDDEN_SIZE, in_channels=in_shape[1]), the answer's"),
    "helpers": (HELPERS, "left out: UNUSED, unused"),
    "clashes": (CLASHES, "renamed: CAPTION_LENGTH, Net"),
    "whole-net": (WHOLE, "left out: Net"),
    "vector": (FLAT, "the answer's"),
    "grid-of-another-width": (GRID, "the answer's"),
    "tuple": (PAIR, "the answer's"),
    "cut-off": (CUT, f"Decoder: Decoder(self.vocab_size, HIDDEN_SIZE), {SKELETONS}"),
}


@pytest.mark.parametrize("kind", SOUND)
def test_answers_become_nets_that_train_and_write(kind):
    answer, note = SOUND[kind]
    reading = read_blocks(Answer(f"Here it is:\n```python\n{answer}"))
    assert reading.source is not None, reading.note
    assert note in next(each.note for each in reading.passes if each.name == "skeleton")
    assert reading.source == read_blocks(Answer(answer)).source, "the same answer gives the same text"
    assert [finding for finding in check_source(reading.source) if finding.severity == "error"] == []
    module: dict[str, Any] = {}
    exec(reading.source, module)
    torch.manual_seed(0)
    net = module["Net"]((2, 3, 32, 32), (30,), {}, "cpu")
    net.train_setup({"lr": 0.001, "momentum": 0.9})
    images, captions = torch.rand(2, 3, 32, 32), torch.randint(3, 30, (2, 5, 7))
    accuracy, loss = net.learn([(images, captions), (images, torch.zeros_like(captions))])
    assert 0 <= accuracy <= 1 and 1 < loss < 10
    logits, memory = net(images, captions)
    assert logits.shape == (2, 6, 30) and memory.shape[2] == module["HIDDEN_SIZE"]
    assert torch.equal(net.eval()(images), net(images, hidden_state=net(images, captions)[1]))
    assert net(images).shape[1] <= 20 and net(images).dtype == torch.long


@pytest.mark.slow
@pytest.mark.parametrize("code", [own_blocks(), GRID], ids=["the skeleton's own", "a linear layer between"])
def test_the_skeleton_keeps_the_whole_contract(code, whole_contract):
    source = assemble(code).source
    report = whole_contract(source)
    assert report.outcome is None and report.findings == []


def test_what_the_skeleton_takes_and_leaves():
    source = assemble(HELPERS).source
    assert "from math import sqrt" in source and "import os" not in source and "print(" not in source
    assert "def scaled(x)" in source and source.index("WIDTH = 24") < source.index("class Encoder")
    source = assemble(CLASHES).source
    assert "HIDDEN_SIZE = 128\n" in source and source.count("HIDDEN_SIZE = ") == 1 and source.count("PAD = ") == 0
    assert "own_CAPTION_LENGTH = 64" in source and "CAPTION_LENGTH = 20" in source
    assert "class own_Net(nn.Module):\n    def forward(self, Net):\n        return F.relu(Net)" in source
    assert source.count("class Net(") == 1 and assemble(WHOLE).source.count("class Net(") == 1
    assert "self.decoder(memory, tokens, None)" in assemble(ARGUMENTS).source
    wrong = "import torch\nfrom torch.nn import nn\nimport numpy as F\n" + ENCODER + DECODER
    assert assemble(wrong).source == assemble(BOTH).source
    assert "HIDDEN_SIZE = 768\n" in assemble(BOTH, "full").source


def test_a_part_of_an_encoder_is_not_taken_for_it():
    layer = "class EncoderLayer(nn.Module):\n    def forward(self, x):\n        return x\n"
    part = "class Encoder(nn.Module):\n    def forward(self, x):\n        return x\n"
    image = ENCODER.replace("class Encoder", "class ImageEncoder").replace(
        "self.pool =", "self.part = Encoder()\n        self.pool ="
    )
    assert "self.encoder = ImageEncoder(" in assemble(IMPORTS + layer + part + image + DECODER).source
    assert "self.encoder = Encoder(" in assemble(IMPORTS + ENCODER + layer + DECODER).source
    derived = "class Encoder(Base):\n    pass\n"
    source = assemble(IMPORTS + ENCODER.replace("class Encoder", "class Base") + derived).source
    assert "class Base(nn.Module)" in source and "class Encoder(Base)" in source
    assert "self.encoder = Encoder(in_shape[1], HIDDEN_SIZE)" in source


@pytest.mark.parametrize(
    "code",
    [
        "",
        "x = 1\n",
        "class Encoder(nn.Module):\n    def forward(self, images):\n        pass\n",
        "class Encoder(nn.Module):\n    def forward(self, images):\n        ...\n        return images\n",
        "class Decoder(nn.Module):\n    def __init__(self):\n        super().__init__()\n",
        "class EncoderDecoder(nn.Module):\n    def forward(self, images):\n        return images\n",
        "class Encoder(nn.Module):\n    def learn(self):\n        return 0\n    def forward(self, x):\n        return x\n",
        "class Encoder(Decoder): pass\nclass Decoder(Encoder): pass\n",
        "class Encoder(:\n  def ((\n",
        "\x00class Encoder",
    ],
)
def test_an_answer_with_neither_class_gives_no_net(code):
    assert assemble(code).source is None and complete_roles(code) == 0


def test_a_copy_of_the_example_is_the_skeletons_own():
    own = assemble(own_blocks()).source
    remark = own_blocks().replace("super().__init__()", "super().__init__()  # first", 1)
    assert assemble('"""My answer."""\nHIDDEN_SIZE = 128\n' + remark).source == own
    encoder = own_blocks().split("\n\n\n")[0]
    assert assemble(encoder).source == own
    mixed = assemble(IMPORTS + encoder + DECODER)
    assert mixed.source != own and "Encoder repeats the example" in mixed.note


def test_classes_that_came_in_blocks_of_their_own_belong_together():
    text = f"<think>class Encoder</think>First:\n```python\n{IMPORTS}{ENCODER}```\nand then\n```python\n{DECODER}```\nDone."
    reading = read_blocks(Answer(text), "pocket")
    assert reading.source == assemble(BOTH).source
    assert "together" in reading.passes[0].note


# --- candidates ------------------------------------------------------------------------------------------------------


class Scripted:
    """Answers with the given texts, in order."""

    name, context_length = "scripted", 8192

    def __init__(self, *answers: str | GeneratorError) -> None:
        self.answers = list(answers)

    def count_tokens(self, text: str) -> int:
        return tokens(text)

    def generate(self, prompt, sampling: Sampling, schema=None) -> Response:
        answer = self.answers.pop(0)
        if isinstance(answer, GeneratorError):
            raise answer
        return Response(answer, 1, 1, 0.0)


def static(source: str) -> ContractReport:
    return ContractReport.of(check_source(source))


def candidates(*answers: str | GeneratorError, n: int = 1, repairs: int = 0, check=static) -> list[Candidate]:
    request = Request("CaptionLSTM", BASELINE, 0.105, snippets=1, repairs=repairs)
    return list(itertools.islice(blocks_candidates(Scripted(*answers), request.every(), POOL, check), n))


def test_answers_end_each_in_their_own_way():
    answers = [BOTH, "Only prose.", GeneratorError("the server answers 500"), own_blocks(), BOTH + "# again\n"]
    sound, prose, failed, example, again = candidates(*answers, n=5)
    assert sound.outcome is None and sound.strategy == "blocks" and sound.name.startswith("C1C-CaptionLSTM-")
    assert [each.name for each in sound.passes] == ["extraction", "skeleton"]
    assert sound.passes[-1].source == sound.source and len(sound.snippets) == 1
    assert (prose.outcome, failed.outcome) == (Outcome.NO_CODE, Outcome.NO_CODE)
    assert failed.detail == "the server answers 500"
    assert example.outcome is Outcome.DUPLICATE and "repeats the example" in example.passes[-1].note
    assert again.outcome is Outcome.DUPLICATE and sound.name in again.detail


def test_a_class_alone_and_a_net_without_the_two_classes():
    alone, monolith = candidates(ENCODER, "class Net(nn.Module):\n    def forward(self, x):\n        return x\n", n=2)
    assert alone.outcome is None and SKELETONS in alone.passes[1].note
    assert monolith.outcome is Outcome.NO_CODE and "neither an encoder nor a decoder" in monolith.detail


@pytest.mark.parametrize("whole", [False, True], ids=["the class alone", "the whole Net"])
def test_a_repair_may_answer_with_a_class_or_with_the_net(whole):
    broken = BOTH.replace("nn.LSTM", "nn.LSTMAttention")
    mended = assemble(BOTH).source if whole else DECODER
    (candidate,) = candidates(broken, mended, repairs=1)
    assert candidate.outcome is None and candidate.source == assemble(BOTH).source
    assert [finding["rule"] for finding in candidate.repairs[0].findings] == ["LC111"]
    assert is_net(candidate.source) and "24, hidden_size, 3" in blocks_of(candidate.source)


def test_a_class_that_is_mended_keeps_the_rest_of_the_net():
    earlier = assemble("HIDDEN_SIZE = 64\n" + NAMED).source
    cut_off = ENCODER.replace("24", "32") + "class CaptionDecoder(nn.Module):\n    def __init__(self):\n        pass\n"
    mended = assemble(IMPORTS + cut_off, earlier=earlier)
    assert "Encoder: Encoder(in_shape[1], HIDDEN_SIZE), the answer's" in mended.note
    assert "CaptionDecoder(self.vocab_size, HIDDEN_SIZE), that of the Net before" in mended.note
    assert "HIDDEN_SIZE = 64\n" in mended.source and "nn.LSTM(" in mended.source and "32, 5" in mended.source
    assert "class ImageEncoder" not in mended.source
    assert assemble("class Encoder: pass\n", earlier=earlier).source is None


@pytest.mark.parametrize(
    ("attack", "rule"),
    [
        ("import os\n        os.remove('x')", "LC601"),
        ("open('/etc/passwd').read()", "LC602"),
        ("().__class__.__subclasses__()", "LC603"),
        ("torch.save(images, 'x')", "LC604"),
        ("nn.Linear.forward = None", "LC606"),
    ],
)
def test_a_hostile_class_does_not_pass(attack, rule):
    (candidate,) = candidates(BOTH.replace("        return self.pool", f"        {attack}\n        return self.pool"))
    assert candidate.outcome is Outcome.UNSAFE and candidate.detail.startswith(rule)


def test_what_runs_on_import_is_left_out_and_what_the_classes_use_is_judged():
    (candidate,) = candidates("import os\nos.system('true')\n" + BOTH)
    assert candidate.outcome is None and "os.system" not in candidate.source
    (candidate,) = candidates("import os\nHOME = os.getcwd()\n" + BOTH.replace("24, 5", "24 + len(HOME), 5"))
    assert candidate.outcome is Outcome.UNSAFE

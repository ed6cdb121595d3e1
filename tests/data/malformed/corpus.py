"""Malformed responses, each with the Net that was meant: four sound Nets, spoiled as language models spoil them.

`CASES` maps a name to (response, intended source). The builders below keep the corpus readable: what a case gets wrong
stands in its own line.
"""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path

from sound_net import SOUND_NET

_NETS = Path(__file__).parent / "nets"
SOUND = SOUND_NET
LSTM, GRU, PATCH = (
    (_NETS / f"{name}.txt").read_text() for name in ("lstm_attention", "gru_pooled", "patch_transformer")
)

FENCE = "```"
CASES: dict[str, tuple[str, str]] = {}

THOUGHT = """Okay, the user wants a captioning Net with `class Net(nn.Module)`. Let me think.

First, in_shape is (B, C, H, W), so in_shape[1] is the number of channels. Then the decoder: an LSTM (or a GRU?) with
attention. Don't forget that captions can be [B, 5, T] - I'd take the first one. def learn(self, train_data) has to
return two numbers. Hmm, wait: nn.CrossEntropyLoss(ignore_index=0)... yes.
"""
USAGE = """import torch

net = Net((1, 3, 64, 64), (100,), {'lr': 1e-3, 'momentum': 0.9}, torch.device('cpu'))
net.train_setup({'lr': 1e-3, 'momentum': 0.9})
"""
DATASET = """class Captions(torch.utils.data.Dataset):
    def __len__(self):
        return 3
"""
DRAFT = """class Net(nn.Module):
    def __init__(self, in_shape, out_shape, prm, device):
        super().__init__()
        self.encoder = nn.Conv2d(3, 64, 3)
        self.lstm = nn.LSTM(64, 64)

    def forward(self, images, captions=None, hidden_state=None):
        return self.lstm(self.encoder(images).flatten(2).transpose(1, 2))
"""
SKETCH = """class Net(nn.Module):
    def __init__(self, in_shape, out_shape, prm, device):
        ...
    def train_setup(self, prm):
        ...
    def learn(self, train_data):
        ...
    def forward(self, images, captions=None, hidden_state=None):
        ...
"""
AFTER = """### How it works

- **Encoder**: the images become a grid of features.
- **Decoder**: it attends to the grid (see `forward`), and it's trained with teacher forcing.

You can now train the model with LEMUR. Let me know if you'd like a larger version!
"""


def case(name: str, response: str, intended: str) -> None:
    assert name not in CASES, name
    CASES[name] = (response, intended)


def fenced(code: str, info: str = "python") -> str:
    return f"{FENCE}{info}\n{code.rstrip()}\n{FENCE}\n"


def broken(net: str, *changes: tuple[str, str]) -> str:
    """The Net with each text replaced once; a text that is not in it is a mistake of the corpus."""
    for old, new in changes:
        assert old in net, old
        net = net.replace(old, new, 1)
    return net


def until(net: str, marker: str) -> str:
    """The Net's lines before the first that holds `marker`."""
    return net[: net.rindex("\n", 0, net.index(marker)) + 1]


def split_at(net: str, marker: str) -> tuple[str, str]:
    return until(net, marker), net[len(until(net, marker)) :]


def function(net: str, header: str) -> str:
    """A method's or class's text by its first line's start."""
    lines = net[len(until(net, header)) :].split("\n")
    margin = len(lines[0]) - len(lines[0].lstrip())
    end = next(
        (i for i, line in enumerate(lines[1:], 1) if line.strip() and len(line) - len(line.lstrip()) <= margin),
        len(lines),
    )
    return "\n".join(lines[:end]).rstrip() + "\n"


# --- fences ---
case("fence-plain", fenced(SOUND), SOUND)
case("fence-no-language", fenced(LSTM, ""), LSTM)
case("fence-capital-language", fenced(GRU, "Python"), GRU)
case("fence-py-attributes", fenced(PATCH, 'py title="net.py" {linenos=true}'), PATCH)
case("fence-file-name", fenced(PATCH, "python net.py"), PATCH)
case("fence-tildes", f"Sure.\n\n~~~python\n{LSTM}~~~\n", LSTM)
case("fence-four-ticks", f"````python\n{GRU}````\n", GRU)
case("fence-prose-around", f"Certainly! Here's the improved Net:\n\n{fenced(SOUND)}\n{AFTER}", SOUND)
case("fence-never-closed", f"Here is the code:\n\n{FENCE}python\n{LSTM}", LSTM)
case("fence-never-opened", f"{GRU}{FENCE}\n\n{AFTER}", GRU)
case("fence-opened-on-prose-line", f"Here is the code: {FENCE}python\n{PATCH}{FENCE}", PATCH)
case("fence-closed-on-code-line", f"{FENCE}python\n{PATCH.rstrip()}{FENCE}\nThat is all.", PATCH)
case("fence-code-on-opening-line", f"{FENCE}python {PATCH.rstrip()}\n{FENCE}\n", PATCH)
case("fence-doubled", f"{FENCE}python\n{FENCE}python\n{SOUND}{FENCE}\n{FENCE}\n", SOUND)
case("fence-nested-in-markdown", f"{FENCE}markdown\n# The Net\n\n{fenced(LSTM)}\nEnjoy it.\n{FENCE}\n", LSTM)
case("fence-indented-in-list", "1. The Net:\n\n" + textwrap.indent(fenced(GRU), "   ") + "\n2. Train it.\n", GRU)
case("fence-in-quotation", "\n".join(f"> {line}" for line in fenced(PATCH).split("\n")), PATCH)
_documented = broken(
    LSTM,
    (
        '"""Scores every',
        f'"""Use it so:\n\n    {FENCE}python\n    a = AdditiveAttention(64, 256)\n    {FENCE}\n\n    Scores every',
    ),
)
case("fence-in-docstring", f"The code:\n{fenced(_documented)}\n{AFTER}", _documented)
case("fence-language-left-over", f"python\n{GRU}", GRU)
case("fence-windows-lines", fenced(SOUND).replace("\n", "\r\n"), SOUND)

# --- several blocks ---
case(
    "several-draft-first",
    f"A first idea:\n{fenced(DRAFT)}\nBut the API asks for more. The whole Net:\n{fenced(LSTM)}",
    LSTM,
)
case("several-sketch-after", f"{fenced(SOUND)}\nIn short, the structure is:\n{fenced(SKETCH)}", SOUND)
case("several-two-complete-last-wins", f"{fenced(GRU)}\nWait, attention would be better:\n{fenced(LSTM)}", LSTM)
case(
    "several-draft-longer-than-net",
    f"{fenced(DRAFT + DRAFT.replace('Net', 'Old') * 9)}\nFinal:\n{fenced(PATCH)}",
    PATCH,
)
case(
    "several-usage-after",
    f"{fenced(GRU)}\nUsage:\n{fenced(USAGE)}",
    GRU,
)
case(
    "several-shell-and-json",
    fenced("pip install torch", "bash")
    + fenced('{"class": "Net", "lr": 0.1}', "json")
    + fenced(SOUND)
    + fenced("class Net { int x; };", "cpp"),
    SOUND,
)
case("several-yaml-after", f"{fenced(PATCH)}\n{fenced('model: Net' + chr(10) + 'import: torch', 'yaml')}", PATCH)
_encoder = function(SOUND, "class Encoder(")
case(
    "several-helper-apart",
    f"First the encoder:\n{fenced(_encoder)}\nThen the rest:\n{fenced(SOUND.replace(_encoder, ''))}",
    SOUND,
)
_attention = function(LSTM, "class AdditiveAttention(")
case(
    "several-helper-after",
    f"{fenced(LSTM.replace(_attention, ''))}\nwhere the attention is:\n{fenced(_attention)}",
    LSTM,
)
_learn = function(PATCH, "    def learn(")
case(
    "several-method-apart",
    f"{fenced(PATCH.replace(_learn, ''))}\nAnd the training loop:\n{fenced(textwrap.dedent(_learn))}",
    PATCH,
)
_first, _second = split_at(GRU, "    def learn(")
case("several-continued", f"Part one:\n{fenced(_first)}\nPart two, which goes right below:\n{fenced(_second)}", GRU)
_first, _second = split_at(LSTM, "    def unroll(")
case("several-continued-in-loop", f"{FENCE}python\n{_first}{FENCE}\n{FENCE}python\n{_second}{FENCE}\n{AFTER}", LSTM)
case("several-same-twice", f"{fenced(SOUND)}\nOnce more, for convenience:\n{fenced(SOUND)}", SOUND)
case(
    "several-last-truncated",
    f"{fenced(SOUND)}\nA variant without comments:\n{FENCE}python\n{until(LSTM, 'def train_setup')}",
    SOUND,
)
case(
    "several-other-class-after",
    f"{fenced(GRU)}\nA data set for it:\n{fenced(DATASET)}",
    GRU,
)

# --- no fence ---
case("bare", SOUND, SOUND)
case("bare-prose-before", f"Sure, here's the Net you asked for:\n\n{LSTM}", LSTM)
case("bare-prose-after", f"{GRU}\n{AFTER}", GRU)
case(
    "bare-prose-both",
    f"I've replaced the encoder (it was too small).\n\n{PATCH}\nThis Net doesn't need downloads; it's trained from scratch.\n",
    PATCH,
)
_first, _second = split_at(SOUND, "class Positions(")
case(
    "bare-prose-between",
    f"The imports and the encoder come first.\n\n{_first}\nNow the positions and the Net itself:\n\n{_second}\nDone.\n",
    SOUND,
)
case("bare-indented-block", "The Net:\n\n" + textwrap.indent(LSTM, "    ") + "\nThat's it.\n", LSTM)
case("bare-line-numbers", "\n".join(f"{n:3}| {line}" for n, line in enumerate(GRU.split("\n"), 1)), GRU)
case("bare-as-diff", "\n".join(f"+{line}" for line in PATCH.split("\n")), PATCH)
case(
    "bare-note-and-heading",
    f"Note: torch only\n## The Net\n{PATCH}\nExplanation:\n1. Patches are embedded.\n2. A decoder reads them.\n",
    PATCH,
)
case(
    "bare-broken-and-prose",
    f"Here is the Net.\n\n{broken(LSTM, ('nn.BatchNorm2d(32),', 'nn.BatchNorm2d(32,'))}\nI hope that this helps you.\n",
    LSTM,
)

# --- tags ---
_HP = '<hp>\n{"lr": 0.01, "momentum": 0.9, "transform": "norm_64"}\n</hp>\n'
_TR = "<tr>\nimport torchvision.transforms as T\n\ndef transform(norm):\n    return T.Compose([T.ToTensor()])\n</tr>\n"
case("tag-nn", f"<nn>\n{SOUND}</nn>", SOUND)
case("tag-nn-hp-tr", f"{_HP}{_TR}<nn>\n{LSTM}</nn>\n", LSTM)
case("tag-nn-fence-inside", f"<nn>\n{fenced(GRU)}</nn>\n{_HP}", GRU)
case("tag-nn-code-same-line", f"<nn_code>{PATCH.rstrip()}</nn_code>", PATCH)
case("tag-nn-never-closed", f"{_HP}<nn>\n{LSTM}", LSTM)
case("tag-nn-never-opened", f"{GRU}</nn>\n{_TR}", GRU)
case("tag-inside-fence", fenced(f"<nn_code>\n{PATCH}</nn_code>"), PATCH)
case("tag-answer", f"<answer>\nThe Net:\n{fenced(SOUND)}</answer>", SOUND)
case("tag-python", f"<python>\n{LSTM}</python>", LSTM)
case("tag-code-attributes", f'<code lang="python">\n{GRU}</code>\n', GRU)
case("tag-escaped", f"<nn>\n{broken(PATCH, ('steps.unsqueeze(0) > ', 'steps.unsqueeze(0) &gt; '))}</nn>", PATCH)
case("tag-chat-tokens", f"<|im_start|>assistant\n{GRU}<|im_end|>\n<|endoftext|>", GRU)
case("tag-instruction-tokens", f"[INST] write it [/INST] {fenced(SOUND)}</s>", SOUND)
case("tag-baseline-echoed", f"<nn_code>\n{DRAFT}</nn_code>\nis improved to\n<nn>\n{LSTM}</nn>", LSTM)
case("json-field", json.dumps({"name": "C5C", "code": PATCH}), PATCH)

# --- thinking models ---
case("think-then-fence", f"<think>\n{THOUGHT}</think>\n\n{fenced(LSTM)}", LSTM)
case(
    "think-with-drafts",
    f"<think>\n{THOUGHT}{fenced(GRU)}\nHmm, no attention. Let me redo it.\n</think>\n{fenced(LSTM)}",
    LSTM,
)
case(
    "think-opened-by-the-template",
    f"{THOUGHT}\nSo a draft would be:\n{fenced(SOUND)}\n</think>\n\nHere is the Net.\n{fenced(GRU)}",
    GRU,
)
case(
    "think-never-closed",
    f"<think>\n{THOUGHT}\nLet me write it all down.\n{fenced(DRAFT)}\nNow in full:\n{fenced(PATCH)}\nI think that's right",
    PATCH,
)
case("think-never-closed-no-fence", f"<think>\n{THOUGHT}\nThe whole file would then be\n\n{SOUND}", SOUND)
case("think-answer-without-code", f"<think>\n{THOUGHT}{fenced(LSTM)}</think>\nThe code is in my reasoning above.", LSTM)
case("think-answer-bare", f"<think>\n{THOUGHT}</think>\n{GRU}", GRU)
case("think-tags-and-nn", f"<thinking>{THOUGHT}</thinking><nn>\n{PATCH}</nn>", PATCH)
case(
    "think-twice",
    f"<think>{THOUGHT}</think>\nA sketch:\n{fenced(SKETCH)}\n<think>Better in full.</think>\n{fenced(SOUND)}",
    SOUND,
)
case("think-empty", f"<think>\n\n</think>\n\n{fenced(GRU)}", GRU)
case(
    "think-broken-draft-unclosed-fence",
    f"<think>\n{THOUGHT}{FENCE}python\n{DRAFT}</think>\n{fenced(LSTM)}\n{AFTER}",
    LSTM,
)
case(
    "think-answer-truncated",
    f"<think>{THOUGHT}{fenced(DRAFT)}</think>\n{FENCE}python\n{until(PATCH, '        for images')}        for images, capt",
    until(PATCH, "        for images"),
)

# --- truncated ---
case(
    "truncated-in-call",
    f"{FENCE}python\n{until(SOUND, 'self.head = ')}        self.head = nn.Linear(WIDTH, self.",
    until(SOUND, "self.head = "),
)
case(
    "truncated-in-layers",
    f"{FENCE}python\n{until(LSTM, 'nn.BatchNorm2d(64)')}            nn.Batc",
    until(LSTM, "self.encoder = "),
)
case(
    "truncated-in-string",
    f'{FENCE}python\n{until(PATCH, "assert logits")}            assert logits.ndim == 3, "the logits',
    until(PATCH, "assert logits"),
)
case(
    "truncated-in-docstring",
    f'{until(SOUND, "    def generate")}    def generate(self, memory):\n        """Greedy decoding, one',
    until(SOUND, "    def generate"),
)
case(
    "truncated-after-header",
    f"{FENCE}python\n{until(GRU, '        if captions is not None')}        if captions is not None:",
    until(GRU, "        if captions is not None"),
)
case(
    "truncated-after-operator",
    f"<nn>\n{until(LSTM, '        return right / max')}        return right /",
    until(LSTM, "        return right / max"),
)
case(
    "truncated-in-def",
    f"{FENCE}\n{until(PATCH, '    def learn')}    def learn(self, train_",
    until(PATCH, "    def learn"),
)
case(
    "truncated-after-decorator",
    f"{FENCE}python\n{until(GRU, '    def forward(self, images')}    @torch.no_grad()",
    until(GRU, "    def forward(self, images"),
)

# --- syntax slips ---
case("bracket-at-line-end", fenced(broken(SOUND, ("label_smoothing=0.1)", "label_smoothing=0.1"))), SOUND)
case("bracket-in-layers", fenced(broken(LSTM, ("padding=1, bias=False),", "padding=1, bias=False,"))), LSTM)
case(
    "bracket-closing-layers",
    fenced(broken(LSTM, ("nn.AdaptiveAvgPool2d((6, 6)),\n        )", "nn.AdaptiveAvgPool2d((6, 6)),"))),
    LSTM,
)
case(
    "bracket-in-header",
    fenced(broken(GRU, ("prm: dict, device: torch.device):", "prm: dict, device: torch.device:"))),
    GRU,
)
case("bracket-super", fenced(broken(PATCH, ("super().__init__()", "super).__init__()"))), PATCH)
case("bracket-opener-of-call", fenced(broken(GRU, ("nn.Linear(96, hidden)", "nn.Linear 96, hidden)"))), GRU)
case(
    "bracket-opener-hanging",
    fenced(broken(PATCH, ("self.decoder = nn.TransformerDecoder(", "self.decoder = nn.TransformerDecoder"))),
    PATCH,
)
case("bracket-subscript", fenced(broken(SOUND, ("prm['momentum'], 0.999", "prm['momentum', 0.999"))), SOUND)
case(
    "bracket-wrong-kind",
    fenced(broken(LSTM, ("self.vocab_size = out_shape[0]", "self.vocab_size = out_shape[0)"))),
    LSTM,
)
case(
    "bracket-one-too-many",
    fenced(broken(GRU, ("betas=(beta, 0.999), weight_decay=1e-4)", "betas=(beta, 0.999), weight_decay=1e-4))"))),
    GRU,
)
case(
    "bracket-three-dropped",
    fenced(
        broken(
            SOUND,
            ("nn.GroupNorm(4, 16)", "nn.GroupNorm(4, 16"),
            ("persistent=False)", "persistent=False"),
            ("max_norm=1.0)", "max_norm=1.0"),
        )
    ),
    SOUND,
)
case(
    "bracket-in-comment-and-string",
    fenced(
        broken(LSTM, ("self.to(device)", "self.to(device  # :) and ( in a comment"), ("Scores every", "Scores (every"))
    ),
    broken(LSTM, ("Scores every", "Scores (every")),
)
case("bracket-hyperparameters", fenced(broken(PATCH, ("{'lr', 'momentum'}", "{'lr', 'momentum'"))), PATCH)
case(
    "bracket-nested-layers",
    fenced(broken(PATCH, ("                batch_first=True,\n            ),", "                batch_first=True,"))),
    PATCH,
)
case("indent-line-too-deep", fenced(broken(GRU, ("        self.rnn = ", "          self.rnn = "))), GRU)
case("indent-line-between", fenced(broken(LSTM, ("            loss.backward()", "          loss.backward()"))), LSTM)
case(
    "indent-line-out-of-block",
    fenced(broken(PATCH, ("                loss.backward()", "            loss.backward()"))),
    PATCH,
)
case("indent-tabs", fenced(re.sub(r"(?m)^(?: {4})+", lambda m: "\t" * (len(m[0]) // 4), SOUND)), SOUND)
case(
    "indent-tabs-mixed",
    fenced(
        broken(
            GRU, ("        hidden = LIMITS", "\t    hidden = LIMITS"), ("        self.train()", "\t    self.train()")
        ).replace("    def learn", "\tdef learn")
    ),
    GRU,
)
case("indent-tab-of-eight", fenced(broken(GRU, ("        hidden = LIMITS", "\thidden = LIMITS"))), GRU)
case("indent-whole-answer", "The Net follows.\n" + fenced(textwrap.indent(PATCH, "  ")), PATCH)
_with_empty = broken(LSTM, ("class Net(nn.Module):", "class Mixer(nn.Module):\n    pass\n\n\nclass Net(nn.Module):"))
case("pass-missing", fenced(_with_empty.replace("    pass\n", "    # to be written\n")), _with_empty)
case(
    "characters-spaces",
    fenced(
        broken(GRU, ("        state = self", "\u00a0       state = self"), ("import torch\n", "\ufeffimport torch\n"))
    ),
    GRU,
)
case("characters-quotes", fenced(SOUND.replace("{'lr', 'momentum'}", "{\u2018lr\u2019, \u2018momentum\u2019}")), SOUND)

# --- what parses and does not work ---
case("imports-missing-all", fenced(re.sub(r"(?m)^(?:import|from) .*\n", "", SOUND)), SOUND)
case("imports-missing-nn", fenced(broken(PATCH, ("import torch.nn as nn\n", ""))), PATCH)
case(
    "imports-missing-typing",
    fenced(broken(GRU, ("from typing import Optional, Tuple\n", "from typing import Tuple\n"))),
    broken(GRU, ("from typing import Optional, Tuple\n", "from typing import Optional\nfrom typing import Tuple\n")),
)
case(
    "imports-nn-twice",
    fenced(broken(LSTM, ("import math\n", "import math\nimport torch.nn as nn\nfrom torch import nn\n"))),
    LSTM,
)
case("imports-nn-from-torch", fenced(broken(PATCH, ("import torch.nn as nn", "from torch import nn"))), PATCH)
case("hyperparameters-list", fenced(broken(SOUND, ("{'lr', 'momentum'}", "['lr', 'momentum', 'dropout']"))), SOUND)
case(
    "hyperparameters-late-return",
    fenced(broken(LSTM, ("    return {'lr', 'momentum'}", "    names = {'lr'}\n    return names"))),
    LSTM,
)
case("hyperparameters-missing", fenced(broken(GRU, (function(GRU, "def supported_hyperparameters"), ""))), GRU)
case(
    "device-cuda",
    fenced(
        broken(
            SOUND, ("images.to(self.device), captions.to(self.device).long()", "images.cuda(), captions.cuda().long()")
        )
    ),
    SOUND,
)

# --- several kinds at once ---
case(
    "mixed-think-tag-bracket",
    f"<think>{THOUGHT}</think>\n<nn>\n{FENCE}python\n{broken(LSTM, ('nn.BatchNorm2d(64),', 'nn.BatchNorm2d(64,'))}</nn>",
    LSTM,
)
case(
    "mixed-prose-tabs-imports",
    f"Sure!\n{fenced(broken(SOUND, ('import math', '')).replace('    def ', chr(9) + 'def '))}{AFTER}",
    SOUND,
)
case(
    "mixed-unclosed-think-truncated",
    f"<think>{THOUGHT}\n{FENCE}python\n{until(PATCH, 'ended = torch')}        ended = torch.zeros_like(tok",
    until(PATCH, "ended = torch"),
)
_cut = until(broken(GRU, ("nn.Sigmoid(),", "nn.Sigmoid(,")), "words.append")
case(
    "mixed-bracket-then-truncated",
    f"{FENCE}python\n{_cut}            words.append(torch.where(over, tor",
    until(GRU, "words.append"),
)
_wrong = broken(
    LSTM,
    ("import math", ""),
    ("self.to(device)", "self.to(device"),
    ("            loss.backward()", "             loss.backward()"),
    ("{'lr', 'momentum'}", "{'wd', 'lr', 'momentum'}"),
)
case(
    "mixed-everything",
    f"{THOUGHT}</think>\nHere's the final Net:\n\n{FENCE}python\n<nn_code>\n{_wrong}</nn_code>\n{AFTER}",
    LSTM,
)

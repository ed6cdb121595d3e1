"""The design prompt: what it says, and what it leaves out for a budget."""

import ast
import json
import re

import pytest

from lemur_caption.errors import UsageError
from lemur_caption.prompt import Snippet, design_prompt, family, sample_snippets, torchvision_pool

BASELINE = '''
import torch.nn as nn

class Encoder(nn.Module):
    """Turns an image into one token."""

    def __init__(self, hidden):
        super().__init__()
        self.conv = nn.Conv2d(3, hidden, 3)

    def forward(self, images):
        return self.conv(images).mean((2, 3))


class Net(nn.Module):
    def __init__(self, in_shape, out_shape, prm, device):
        super().__init__()
        self.encoder = Encoder(128)
        self.lstm = nn.LSTM(128, 128)

    def learn(self, train_data):
        return 0.5, 1.0

    def forward(self, images, captions=None, hidden_state=None):
        return self.lstm(self.encoder(images)), None
'''
SNIPPETS = [
    Snippet("squeezenet", "class Fire(nn.Module):\n    def forward(self, x):\n        return self.squeeze(x)\n"),
    Snippet("vgg", "class VGG(nn.Module):\n    def forward(self, x):\n        return self.features(x)\n"),
]
SCHEMA = {
    "type": "object",
    "properties": {
        "size": {"enum": ["pocket"]},
        "block": {"enum": ["residual", "fire", "vit"]},
        "width": {"enum": [16, 24, 32]},
        "tied_embeddings": {"enum": [False, True]},
        "flavour": {"enum": ["sweet", "sour"], "description": "how it tastes"},
    },
}


def words(text):
    return len(re.findall(r"\w+|[^\w\s]", text))


def prompt(**changes):
    defaults = {
        "baseline_name": "CaptionLSTM",
        "baseline_source": BASELINE,
        "baseline_score": 0.1234,
        "snippets": SNIPPETS,
        "choices": SCHEMA,
        "budget_tokens": 4000,
        "count_tokens": words,
    }
    return design_prompt(**(defaults | changes))


def shown_baseline(user):
    return user.split("<nn_code>\n")[1].split("</nn_code>")[0]


def test_a_prompt_has_every_element_of_the_paper():
    asked = prompt()
    assert "JSON" in asked.system
    assert asked.user.startswith("Goal:") and "BLEU-4" in asked.user
    assert "CaptionLSTM, BLEU-4 0.123." in asked.user
    assert shown_baseline(asked.user) == BASELINE.strip() + "\n"
    for snippet in SNIPPETS:
        assert f"# {snippet.name}\n{snippet.code}" in asked.user
    assert "at least three structural changes" in asked.user
    assert asked.user.endswith("Answer only with the JSON object of the new design.")
    assert asked.dropped == ()


def test_fields_are_asked_with_all_their_values_and_their_meaning():
    lines = prompt().user.splitlines()
    (block,) = [line for line in lines if line.startswith('"block":')]
    values, meaning = block.split(":", 1)[1].split("  # ")
    assert sorted(json.loads(value) for value in values.split(" | ")) == ["fire", "residual", "vit"]
    assert meaning == "building block of the encoder"
    assert any(line.startswith('"flavour":') and line.endswith("# how it tastes") for line in lines)
    assert any(re.fullmatch(r'"tied_embeddings": (true \| false|false \| true)  # .*', line) for line in lines)
    assert not any(line.startswith('"size"') for line in lines), "a field with one value alone asks nothing"


def test_seeds_shuffle_the_values_and_nothing_else():
    assert prompt(seed=3) == prompt(seed=3)
    users = [prompt(seed=seed).user for seed in range(8)]
    assert len(set(users)) > 3
    assert len({"".join(sorted(user)) for user in users}) == 1


def test_the_parts_are_separate_lines():
    lines = prompt().user.splitlines()
    for start in ("Baseline to start from", "<nn_code>", "</nn_code>", "Blocks of 2", "# squeezenet", "Make at least"):
        assert any(line.startswith(start) for line in lines), f"no line starts with {start!r}"
    assert all(line.count("Choose one value") == 0 or line.startswith("Choose one value") for line in lines)


def test_an_unmeasured_baseline_and_no_snippets():
    asked = prompt(baseline_score=None, snippets=[])
    assert "CaptionLSTM, not measured yet." in asked.user
    assert "inspiration for the encoder" not in asked.user


@pytest.mark.parametrize("budget", [330, 400, 500, 700, 1000, 2000])
def test_a_budget_is_kept_and_what_it_cost_is_said(budget):
    snippets = sample_snippets(torchvision_pool(), 5, seed=0)
    asked = prompt(snippets=snippets, budget_tokens=budget)
    assert words(asked.system) + words(asked.user) <= budget
    for snippet in snippets:
        whole = snippet.code in asked.user
        noted = any(f"snippet {snippet.name}" in note for note in asked.dropped)
        assert whole != noted, f"{snippet.name}: whole {whole}, noted {noted}"
    if "<nn_code>" in asked.user:
        ast.parse(shown_baseline(asked.user))
        assert (shown_baseline(asked.user) == BASELINE.strip() + "\n") != any("baseline" in n for n in asked.dropped)


def test_larger_budgets_show_more():
    snippets = sample_snippets(torchvision_pool(), 5, seed=0)
    lengths = [len(prompt(snippets=snippets, budget_tokens=budget).user) for budget in (400, 700, 1200, 2500)]
    assert lengths == sorted(set(lengths))


def test_a_hopeless_budget_is_refused():
    with pytest.raises(UsageError, match=r"needs \d+ tokens without any code, and the budget is 50"):
        prompt(budget_tokens=50)


def test_code_is_not_escaped():
    code = "x = 'a < b & \"c\"'\n"
    assert code in prompt(snippets=[Snippet("odd", code)]).user


def test_family_prefix():
    assert family(5, "CaptionLSTM") == "C5C-CaptionLSTM"

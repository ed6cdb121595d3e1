"""The `delta` strategy: what its prompt says, and how a diff becomes a candidate."""

from __future__ import annotations

import difflib
import itertools

import pytest

from lemur_caption.candidate import Candidate, Outcome
from lemur_caption.contract import ContractReport
from lemur_caption.errors import GeneratorError, UsageError
from lemur_caption.generator.base import Response
from lemur_caption.lemur.registry import code_id
from lemur_caption.prompt import sample_snippets
from lemur_caption.prompt.delta_prompt import delta_prompt
from lemur_caption.source.fixups import apply_fixups
from lemur_caption.source.patch import apply_patch, parse_patch
from lemur_caption.strategies import Request
from lemur_caption.strategies.asking import Answer
from lemur_caption.strategies.delta import delta_candidates, read_delta
from sound_net import SOUND_NET
from test_code_strategy import POOL, Scripted, static, tokens, variant


def ask(budget: int = 16_000, k: int = 5, size: str = "pocket", **more):
    return delta_prompt(
        baseline_name="SoundNet",
        baseline_source=SOUND_NET,
        baseline_score=0.25,
        snippets=sample_snippets(POOL, k, seed=0),
        size=size,
        budget_tokens=budget,
        count_tokens=tokens,
        **more,
    )


def diff_to(target: str, source: str = SOUND_NET) -> str:
    lines = difflib.unified_diff(source.splitlines(), target.splitlines(), "a/net.py", "b/net.py", lineterm="")
    return "```diff\n" + "\n".join(lines) + "\n```\n"


def candidates(generator: Scripted, count: int, check=static, **request) -> list[Candidate]:
    wanted = Request("SoundNet", SOUND_NET, **{"snippets": 1, **request})
    return list(itertools.islice(delta_candidates(generator, wanted.every(), POOL, check), count))


# --- prompt ----------------------------------------------------------------------------------------------------------


def test_the_prompt_shows_the_baseline_whole_and_says_what_to_do():
    prompt = ask(examples=(("a good one", 0.5),), avoid=("nn.Oops",))
    assert f"SoundNet, BLEU-4 0.250.\n<nn_code>\n{SOUND_NET.strip()}\n</nn_code>" in prompt.user
    for words in (
        "at least three structural changes",
        "learn returns (accuracy, mean loss)",
        "forward(self, images, captions=None, hidden_state=None)",
        "nn.SelfAttention",
        "a good one: BLEU-4 0.500",
        "- nn.Oops",
        "one unified diff against SoundNet in one ```diff block",
    ):
        assert words in prompt.user, words
    assert "one unified diff" in prompt.system and "never the whole file" in prompt.system
    for snippet in sample_snippets(POOL, 5, seed=0):
        assert snippet.code in prompt.user
    assert prompt.dropped == () and "\n\n\n" not in prompt.user.split("<nn_code>")[0]
    with pytest.raises(UsageError, match="choose pocket or full"):
        ask(size="huge")


def test_the_prompts_example_is_a_diff_that_applies():
    """It is the first thing that the model imitates."""
    source = (
        "class Encoder(nn.Module):\n    def __init__(self, channels):\n        super().__init__()\n"
        "        self.stem = nn.Conv2d(channels, 16, kernel_size=3, stride=2, padding=1)\n        self.act = nn.ReLU()\n\n"
        "    def forward(self, images):\n        return self.act(self.stem(images))\n"
    )
    example = ask().user.split("for another file:\n")[1]
    patched = apply_patch(parse_patch(example), source)
    assert patched.source is not None and "return self.act(self.norm(self.stem(images)))" in patched.source
    assert patched.fates == ("hunk 1 applied at line 3", "hunk 2 applied at line 7")


@pytest.mark.parametrize("budget", [2700, 3000, 3600])
def test_snippets_go_before_the_baseline_does(budget):
    prompt = ask(budget)
    assert tokens(prompt.system) + tokens(prompt.user) <= budget
    assert SOUND_NET.strip() in prompt.user
    for snippet in sample_snippets(POOL, 5, seed=0):
        noted = any(note.startswith(f"snippet {snippet.name}") for note in prompt.dropped)
        assert (snippet.code in prompt.user) != noted
    assert prompt.dropped


def test_a_budget_without_room_for_the_baseline_is_refused():
    with pytest.raises(UsageError, match=r"the whole baseline: \d+ tokens .* and the budget is 1500; take a model"):
        ask(1500)
    with pytest.raises(UsageError, match="the whole baseline"):
        candidates(Scripted("", context_length=3000), 1)


# --- from answers to candidates --------------------------------------------------------------------------------------


def test_a_diff_becomes_a_candidate_with_its_trail():
    (candidate,) = candidates(Scripted(diff_to(variant("one"))), 1)
    assert candidate.outcome is None and candidate.source == variant("one")
    assert candidate.strategy == "delta" and candidate.name == f"C1C-SoundNet-{code_id(variant('one'))}"
    (applied,) = candidate.passes
    assert applied.name == "patch" and applied.source == variant("one")
    assert applied.note.startswith("hunk 1 applied at line ")


def test_the_fixups_follow_the_patch():
    answer = diff_to(variant("one").replace("import math\n", ""))
    (candidate,) = candidates(Scripted(answer), 1)
    assert candidate.outcome is None
    assert [each.name for each in candidate.passes] == ["patch", "missing-imports"]


def test_a_refused_hunk_ends_the_candidate_and_says_which():
    answer = "```diff\n@@ @@\n-WIDTH = 64\n+WIDTH = 96\n@@ @@\n-DEPTH = 3\n+DEPTH = 4\n```"
    found = candidates(Scripted(answer, GeneratorError("gone"), "Only prose.", diff_to(variant("fine"))), 4)
    assert [candidate.outcome for candidate in found] == [Outcome.NO_CODE] * 3 + [None]
    assert found[0].passes[0].name == "patch" and found[0].source == ""
    assert "hunk 1 applied" in found[0].detail and "hunk 2 refused: the file has no line `DEPTH = 3`" in found[0].detail
    assert found[1].detail == "gone" and found[2].detail.startswith("no diff; ")


@pytest.mark.parametrize(
    "answer",
    [
        "```diff\n@@ @@\n-WIDTH = 64\n+WIDTH = 64\n```",
        "```diff\n@@ @@\n WIDTH = 64\n+\n```",
        f"```python\n{SOUND_NET}```",
    ],
)
def test_a_diff_that_changes_nothing_is_the_baseline_again(answer):
    (candidate,) = candidates(Scripted(answer), 1, check=lambda source: pytest.fail("a known Net is checked"))
    assert candidate.outcome is Outcome.DUPLICATE, candidate.detail


def test_a_whole_net_is_taken_as_code():
    code, added = candidates(
        Scripted(
            f"```python\n{variant('one')}```",
            "```diff\n--- /dev/null\n+++ b/net.py\n@@ -0,0 +1,99 @@\n"
            + "".join(f"+{line}\n" for line in variant("two").splitlines())
            + "```",
        ),
        2,
    )
    assert (code.outcome, code.source) == (None, variant("one"))
    assert code.passes[0].name == "extraction" and code.passes[0].note.startswith("no diff; class Net")
    assert (added.outcome, added.source) == (None, variant("two"))


def test_of_a_cut_off_answer_the_whole_hunks_count():
    class CutOff(Scripted):
        def generate(self, prompt, sampling, schema=None) -> Response:
            response = super().generate(prompt, sampling, schema)
            return Response(response.text, 1, 7, 0.0, truncated=True)

    answer = "```diff\n@@ @@\n-WIDTH = 64\n+WIDTH = 96\n@@ @@\n-MAX_LENGTH = 20\n+MAX_LENG"
    wide, nothing = candidates(CutOff(answer, answer.replace("@@ @@\n-WIDTH = 64\n+WIDTH = 96\n", "")), 2)
    assert wide.source == SOUND_NET.replace("WIDTH = 64", "WIDTH = 96") and wide.outcome is None
    assert "the last hunk was cut off and is left out; cut off after 7 tokens" in wide.passes[0].note
    assert nothing.outcome is Outcome.NO_CODE and "left out" in nothing.detail


@pytest.mark.parametrize("whole", [False, True])
def test_a_repair_may_be_a_diff_against_the_net_as_sent(whole):
    broken = variant("one").replace("nn.GELU()", "nn.SelfAttention()", 1)
    repaired = f"```python\n{variant('one')}```" if whole else diff_to(variant("one"), broken)
    generator = Scripted(diff_to(broken), repaired)
    (candidate,) = candidates(generator, 1)
    assert candidate.outcome is None and candidate.source == variant("one")
    (repair,) = candidate.repairs
    assert repair.passes[0].name == ("extraction" if whole else "patch")


def test_the_baseline_as_shown_is_what_a_diff_is_against():
    """White space around the file is not shown, and a baseline that needs fix-ups is patched before them."""
    source = "\n\n" + SOUND_NET.replace("import math\n", "") + "\n\n"
    wanted = Request("SoundNet", source, snippets=1)
    answers = Scripted(
        diff_to(source.strip().replace("WIDTH = 64", "WIDTH = 96"), source.strip()), "@@ @@\n-WIDTH = 64\n+WIDTH = 64\n"
    )
    wide, same = itertools.islice(delta_candidates(answers, wanted.every(), POOL, static), 2)
    assert wide.outcome is None and "WIDTH = 96" in wide.source and "import math" in wide.source
    assert same.outcome is Outcome.DUPLICATE


def test_reading_depends_on_the_answer_and_the_source_alone():
    answer = Answer(diff_to(variant("one")))
    assert read_delta(answer, SOUND_NET).source == variant("one") == apply_fixups(variant("one")).code
    assert read_delta(Answer(note="the server answers 500"), SOUND_NET).note == "the server answers 500"
    assert read_delta(answer, variant("two")).source is None
    report = ContractReport.of([])
    (candidate,) = candidates(Scripted(answer.text), 1, check=lambda source: report, seed=3)
    assert candidate.source == variant("one")

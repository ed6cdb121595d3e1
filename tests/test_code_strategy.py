"""The `code` strategy: what its prompts say, how an answer becomes a candidate, repair, and the trail on disk."""

from __future__ import annotations

import ast
import itertools
import json
from collections import Counter
from pathlib import Path

import pytest

from conftest import Run
from lemur_caption.candidate import Candidate, Outcome
from lemur_caption.contract import ContractReport, Finding, check_source
from lemur_caption.errors import GeneratorError, UsageError
from lemur_caption.generator.base import Response, Sampling, generate_singly
from lemur_caption.lemur.registry import FILES, code_id
from lemur_caption.prompt import sample_snippets, torchvision_pool
from lemur_caption.prompt.code_prompt import code_prompt, repair_prompt
from lemur_caption.strategies import Request, code_candidates, get_strategy
from sound_net import SOUND_NET

RESPONSES = Path(__file__).parent / "data" / "responses"
BASELINE = (FILES / "nn" / "CaptionLSTM.py").read_text(encoding="utf-8")
POOL = torchvision_pool()
# The paper's Methodology, element by element: how its part begins and what it must say, for Nets of full size.
ELEMENTS = {
    "Goal:": [
        "high-performance image captioning network",
        "classification blocks",
        "safe, meaningful",
        "not a classifier",
    ],
    "Mandatory API.": [
        "def supported_hyperparameters():\n    return {'lr', 'momentum'}",
        "class Net(nn.Module):",
        "def __init__(self, in_shape, out_shape, prm, device):",
        "def train_setup(self, prm):",
        "def learn(self, train_data):",
        "def forward(self, images, captions=None, hidden_state=None):",
        "runnable Python",
    ],
    "Encoder.": [
        "Remove the classification head",
        "keep their convolutional backbone",
        "[B, 1, H] with nn.AdaptiveAvgPool2d and an nn.Linear",
        "H >= 640",
        "patch tokens of a ViT",
    ],
    "Decoder.": [
        "YOU decide",
        "nn.LSTM or nn.GRU",
        "nn.Embedding",
        "attention on those features (nn.MultiheadAttention)",
        "nn.TransformerDecoderLayer",
        "batch_first=True",
        "d_model 640 or 768, nhead 8 or 12 (d_model must be divisible by nhead)",
        "causal tgt_mask",
    ],
    "Forbidden:": ["nn.SelfAttention", "does not exist", "A vocab_size argument", "Home-made attention"],
    "Teacher forcing.": [
        "inputs = captions[:, :-1]",
        "targets = captions[:, 1:]",
        "(logits, hidden_state)",
        "[B, T-1, vocab_size]",
        "assert logits.shape == ",
    ],
    "Inference.": ["greedy token ids", "[B, L]"],
    "Training.": [
        "nn.CrossEntropyLoss(ignore_index=0, label_smoothing=0.1)",
        "torch.optim.AdamW(self.parameters(), lr=prm['lr']",
        "prm['momentum']",
        "clip_grad_norm_",
    ],
    "What LEMUR asks today:": ["learn returns (accuracy, mean loss)", "captions [B, 5, T]", "all <PAD>"],
    "Safe edits only": ["remove nothing essential", "at least three structural changes"],
    "Hints:": ["larger hidden sizes (640 or 768)", "multi-head attention generally improve BLEU", "dropout modest"],
    "Answer with": ["the complete file in one ```python block"],
}


def tokens(text: str) -> int:
    return -(-len(text) // 4)


def ask(k: int = 5, size: str = "full", budget: int = 16_000, score: float | None = 0.105):
    return code_prompt(
        baseline_name="CaptionLSTM",
        baseline_source=BASELINE,
        baseline_score=score,
        snippets=sample_snippets(POOL, k, seed=0),
        size=size,
        budget_tokens=budget,
        count_tokens=tokens,
    )


class Scripted:
    """A generator that answers with what it was given, in order; an exception is raised instead."""

    name = "scripted"

    def __init__(self, *answers: str | Exception, context_length: int = 32_000) -> None:
        self.answers = iter(answers)
        self.context_length = context_length
        self.asked: list[tuple[str, Sampling]] = []

    def count_tokens(self, text: str) -> int:
        return tokens(text)

    def generate(self, prompt, sampling, schema=None) -> Response:
        self.asked.append((prompt.user, sampling))
        answer = next(self.answers)
        if isinstance(answer, Exception):
            raise answer
        return Response(answer, 1, tokens(answer), 0.0)


def static(source: str) -> ContractReport:
    return ContractReport.of(check_source(source))


def candidates(generator: Scripted, count: int, check=static, **request) -> list[Candidate]:
    wanted = Request("CaptionLSTM", BASELINE, snippets=1, **request)
    return list(code_candidates(generator, itertools.islice(wanted.every(), count), POOL, check))


def variant(name: str) -> str:
    return SOUND_NET.replace("WIDTH = 64", f"WIDTH = 64\n{name.upper()} = 1")


def broken(name: str, layer: str = "SelfAttention") -> str:
    return variant(name).replace("nn.GELU()", f"nn.{layer}()", 1)


# --- prompts ---------------------------------------------------------------------------------------------------------


def parts(user: str) -> dict[str, str]:
    """The prompt's parts by how they begin; each begins a line."""
    starts = [user.index(f"\n{start}") if start != "Goal:" else user.index(start) for start in ELEMENTS]
    assert starts == sorted(starts), "the parts are not in order"
    return {
        start: user[first:last] for start, first, last in zip(ELEMENTS, starts, [*starts[1:], len(user)], strict=True)
    }


@pytest.mark.parametrize("element", ELEMENTS)
def test_the_prompt_has_every_element_of_the_paper(element):
    part = parts(ask().user)[element]
    for words in ELEMENTS[element]:
        assert words in part, f"{words!r} is not in {part!r}"


def test_the_system_role_asks_for_code_alone():
    system = ask().system
    for words in ("only with code", "single fenced block", "No explanation", "no partial answer"):
        assert words in system


def test_the_baseline_comes_whole_with_its_score_and_the_snippets_follow():
    prompt = ask()
    assert "Baseline to start from: CaptionLSTM, BLEU-4 0.105.\n<nn_code>\n" in prompt.user
    assert prompt.user.split("<nn_code>\n")[1].split("</nn_code>")[0] == BASELINE.strip() + "\n"
    for snippet in sample_snippets(POOL, 5, seed=0):
        assert f"# {snippet.name}\n{snippet.code}" in prompt.user
    assert prompt.dropped == ()
    assert "not measured yet" in ask(score=None).user


def test_pocket_nets_get_smaller_numbers():
    pocket = ask(size="pocket").user
    for words in ("H >= 128", "d_model 192 or 256, nhead 4 or 8", "larger hidden sizes (192 or 256)", "64 x 64"):
        assert words in pocket
    assert "640" not in parts(pocket)["Encoder."] and "64 x 64" not in ask().user
    with pytest.raises(UsageError, match="choose pocket or full"):
        ask(size="huge")


@pytest.mark.parametrize("k", [1, 5, 8, 10])
def test_the_papers_numbers_of_snippets_fit_16k_tokens_whole(k):
    prompt = ask(k)
    assert tokens(prompt.system) + tokens(prompt.user) <= 16_000
    assert prompt.dropped == ()


@pytest.mark.parametrize("budget", [1500, 2500, 3400, 4800, 5400])
def test_a_budget_is_kept_and_what_it_cost_is_said(budget):
    prompt = ask(budget=budget)
    assert tokens(prompt.system) + tokens(prompt.user) <= budget
    for snippet in sample_snippets(POOL, 5, seed=0):
        noted = any(note.startswith(f"snippet {snippet.name}") for note in prompt.dropped)
        assert (snippet.code in prompt.user) != noted, f"{snippet.name}: noted {noted}"
    whole = BASELINE.strip() in prompt.user
    assert whole != any(note.startswith("baseline") for note in prompt.dropped)
    assert whole == (budget > 4500)
    left_out = [note for note in prompt.dropped if note.startswith("snippet") and ":" not in note]
    assert not left_out or budget < 2000, "snippets are shortened, and so is the baseline, before one is left out"
    if "<nn_code>" in prompt.user:
        ast.parse(prompt.user.split("<nn_code>\n")[1].split("</nn_code>")[0])
    parts(prompt.user)


def test_a_hopeless_budget_is_refused():
    with pytest.raises(UsageError, match=r"needs \d+ tokens without any code, and the budget is 300"):
        ask(budget=300)


def test_a_repair_prompt_shows_code_findings_hints_and_lines():
    code = "import torch\nx = 1\ny = nn.Oops()\nz = 2\n"
    findings = [
        Finding("LC111", "torch.nn has no attribute 'Oops'", "Use a class that PyTorch has.", line=3),
        Finding("LC103", "Net has no method learn", "Give Net the method learn."),
        Finding("LC140", "a mere warning", "Nothing.", severity="warning"),
    ]
    prompt = repair_prompt(code, findings)
    assert f"<nn_code>\n{code}</nn_code>" in prompt.user
    assert "1. torch.nn has no attribute 'Oops' (line 3)\n" in prompt.user
    assert "      2 x = 1\n   >    3 y = nn.Oops()\n        4 z = 2\n" in prompt.user
    assert "To mend it: Use a class that PyTorch has.\n2. Net has no method learn\n   To mend it: Give" in prompt.user
    assert "mere warning" not in prompt.user
    assert "change nothing else" in prompt.user and "def learn(self, train_data):" in prompt.user
    many = repair_prompt(code, [Finding("LC130", f"number {i}", "Define it.") for i in range(15)])
    assert "number 11" in many.user and "number 12" not in many.user and len(many.dropped) == 3


# --- from answers to candidates --------------------------------------------------------------------------------------


def test_a_sound_answer_is_named_for_its_code_and_keeps_its_trail():
    answer = f"```python\n{variant('one').replace('import math', '')}```"
    (candidate,) = candidates(Scripted(answer), 1)
    assert candidate.outcome is None and candidate.name == f"C1C-CaptionLSTM-{code_id(candidate.source)}"
    assert [each.name for each in candidate.passes] == ["extraction", "missing-imports"]
    assert candidate.passes[-1].source == candidate.source and "import math" in candidate.source
    assert candidate.response == answer and candidate.repairs == []


def test_answers_without_code_end_as_no_code_and_the_others_go_on():
    answers = ["", "Only prose.", GeneratorError("the server answers 500"), variant("fine")]
    found = candidates(Scripted(*answers), 4)
    assert [candidate.outcome for candidate in found] == [Outcome.NO_CODE] * 3 + [None]
    assert found[2].detail == "the server answers 500" and found[2].prompt and found[2].response == ""
    assert len({candidate.name for candidate in found}) == 4


def test_a_net_that_exists_is_a_duplicate_and_is_not_checked():
    checked = []
    answers = [variant("one"), f"Again:\n```python\n{variant('one')}```", BASELINE]
    first, second, third = candidates(
        Scripted(*answers), 3, check=lambda source: checked.append(source) or ContractReport.of([])
    )
    assert (first.outcome, second.outcome, third.outcome) == (None, Outcome.DUPLICATE, Outcome.DUPLICATE)
    assert len(checked) == 1
    assert second.name != first.name and first.name in second.detail


def test_a_candidate_depends_on_its_seed_and_index_alone():
    def made(*answers: str) -> Candidate:
        return candidates(Scripted(*answers), 3, seed=7)[2]

    one, other = made("", "", variant("x")), made(variant("a"), "prose", variant("x"))
    assert one == other
    assert one.seed != candidates(Scripted("", "", ""), 3, seed=8)[2].seed


def test_what_the_search_has_learned_is_in_the_prompt_and_the_trail():
    learned = {
        "examples": (("fire encoder, GRU", 0.512),),
        "avoid": ("nn.SelfAttention does not exist",),
        "parents": ("A-1",),
    }
    (taught,) = candidates(Scripted(variant("x")), 1, **learned)
    (plain,) = candidates(Scripted(variant("x")), 1)
    for words in ("- fire encoder, GRU: BLEU-4 0.512", "- nn.SelfAttention does not exist"):
        assert words in taught.prompt and words not in plain.prompt
    assert taught.parents == ["A-1"] and plain.parents == []


def test_a_net_from_another_baseline_stays_in_its_family():
    (candidate,) = candidates(Scripted(variant("x")), 1, lineage="CaptionTransformer")
    assert candidate.family == "C1C-CaptionTransformer"


def test_a_generator_that_likes_batches_is_asked_for_them():
    class Batching(Scripted):
        batch_size = 3

        def generate_all(self, questions):
            sizes.append(len(questions))
            return generate_singly(self, questions)

    sizes: list[int] = []
    answers = [variant("a"), GeneratorError("the server is down"), variant("b"), variant("c")]
    made = candidates(Batching(*answers), 4)
    assert sizes == [3]
    # One question alone needs no batch.
    assert made == candidates(Scripted(*answers), 4)
    assert [candidate.outcome for candidate in made] == [None, Outcome.NO_CODE, None, None]


def test_a_repair_gets_the_code_and_the_hint_and_its_answer_counts():
    generator = Scripted(broken("one"), f"```python\n{variant('one')}```")
    (candidate,) = candidates(generator, 1, repairs=2)
    assert candidate.outcome is None and candidate.source == variant("one")
    (repair,) = candidate.repairs
    assert [finding["rule"] for finding in repair.findings] == ["LC111"]
    assert repair.findings[0]["hint"] in repair.prompt and broken("one").strip() in repair.prompt
    assert repair.source == variant("one") and repair.passes and repair.response.startswith("```python")
    (_, first), (_, second) = generator.asked
    assert second.temperature < first.temperature and second.seed != first.seed


@pytest.mark.parametrize("repairs", [0, 1, 2])
def test_repairs_are_bounded(repairs):
    answers = [broken("one"), broken("one", "Swosh"), broken("one", "Gulp"), broken("one", "Blub")]
    generator = Scripted(*answers)
    (candidate,) = candidates(generator, 1, repairs=repairs)
    assert candidate.outcome is Outcome.CONTRACT and len(candidate.repairs) == repairs
    assert len(generator.asked) == repairs + 1
    assert candidate.source == answers[repairs]
    assert ("SelfAttention", "Swosh", "Gulp")[repairs] in candidate.findings[0]["message"]


@pytest.mark.parametrize("answer", [broken("one"), broken("another"), "I see nothing wrong.", GeneratorError("gone")])
def test_repair_stops_where_it_brings_nothing(answer):
    generator = Scripted(broken("one"), answer, variant("never asked"))
    (candidate,) = candidates(generator, 1, repairs=2)
    assert candidate.outcome is Outcome.CONTRACT and len(candidate.repairs) == 1
    assert "SelfAttention" in candidate.detail
    assert bool(candidate.repairs[0].source) != bool(candidate.repairs[0].note)


def test_a_source_that_comes_back_unchanged_is_not_run_again():
    checked = []

    def check(source: str) -> ContractReport:
        checked.append(source)
        return static(source)

    candidates(Scripted(broken("one"), broken("one")), 1, check=check)
    assert checked == [broken("one")]


def test_a_repair_that_copies_an_earlier_net_is_a_duplicate():
    first, second = candidates(Scripted(variant("one"), broken("two"), variant("one")), 2)
    assert first.outcome is None and second.outcome is Outcome.DUPLICATE and len(second.repairs) == 1


def test_a_repair_that_does_not_fit_the_context_is_not_asked():
    long = broken("one") + "# a remark\n" * 300
    generator = Scripted(long, variant("one"), context_length=3200)
    (candidate,) = candidates(generator, 1)
    assert candidate.outcome is Outcome.CONTRACT and len(generator.asked) == 1
    assert candidate.repairs[0].note.startswith("not asked: of 3200 tokens")
    assert candidate.dropped, "the first prompt was cut to the same context"


def test_what_stays_unparsable_ends_as_syntax():
    (candidate,) = candidates(
        Scripted(variant("one").replace("def learn(self, train_data):", "def learn(")), 1, repairs=0
    )
    assert candidate.outcome is Outcome.SYNTAX and candidate.detail.startswith("LC101")


def test_half_a_surrogate_pair_does_not_stop_the_trail(tmp_path):
    (candidate,) = candidates(Scripted("\ud83d no code"), 1)
    candidate.write(tmp_path)
    assert json.loads((tmp_path / f"{candidate.name}.json").read_text(encoding="utf-8"))["outcome"] == "no_code"


def test_an_unknown_strategy_is_refused():
    with pytest.raises(UsageError, match="unknown strategy `delta2`; lemur-caption has code, delta, blocks, design"):
        get_strategy("delta2")


# --- the recorded run ------------------------------------------------------------------------------------------------

OUTCOMES = [
    *("no_code", "no_code", None, None, "duplicate", "no_code", None, None, "contract", "contract"),
    *(None, None, "syntax", "unsafe", "no_code", "no_code", "no_code", "duplicate", "contract", "contract"),
]
# How many repairs each takes; they are answered by the recordings that follow the one they mend.
REPAIRS = [0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 0, 0, 1, 2, 0, 0, 0, 1, 1, 1]


@pytest.mark.slow
def test_a_recorded_run_ends_every_candidate_with_a_full_trail(run: Run, tmp_path: Path) -> None:
    finished = run(
        *("generate", "--llm", f"replay:{RESPONSES}", "--strategy", "code"),
        *("--snippets", 5, "--n", 20, "--output", tmp_path / "nets", "--json"),
    )
    assert finished.returncode == 1, finished.stderr[-3000:]
    told = json.loads(finished.stdout)
    assert [candidate["outcome"] for candidate in told] == OUTCOMES
    assert [len(candidate["repairs"]) for candidate in told] == REPAIRS
    trails = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in (tmp_path / "nets").glob("*.json")}
    assert [trails[candidate["name"]] for candidate in told] == told and len(trails) == 20
    sound = {candidate["name"] for candidate in told if candidate["outcome"] is None}
    assert {path.stem for path in (tmp_path / "nets").glob("*.py")} == sound
    for trail in told:
        assert trail["prompt"] and len(trail["snippets"]) == 5
        assert trail["detail"] or trail["outcome"] is None
        has_code = trail["outcome"] != "no_code"
        assert bool(trail["passes"]) == bool(trail["source"]) == has_code
        assert bool(trail["findings"]) or trail["outcome"] not in ("contract", "syntax", "unsafe")
        for repair in trail["repairs"]:
            assert repair["prompt"] and repair["findings"] and (repair["source"] or repair["note"])
    fixups = Counter(each["name"] for trail in told for each in trail["passes"])
    assert fixups.keys() >= {"extraction", "brackets", "tabs", "missing-imports", "hyperparameters"}
    assert fixups["extraction"] == 20 - OUTCOMES.count("no_code")

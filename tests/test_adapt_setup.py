"""The transformations of imports, weights, devices, the criterion and the hyperparameters."""

from __future__ import annotations

import pytest

from lemur_caption.source.adapt import Adaptation, adapt
from old_net_parts import PARTS, assert_keeps_the_api, load, names, net


@pytest.mark.parametrize(
    ("call", "adapted"),
    [
        ("nn.CrossEntropyLoss()", "nn.CrossEntropyLoss(ignore_index=0)"),
        ("nn.CrossEntropyLoss(label_smoothing=0.1)", "nn.CrossEntropyLoss(label_smoothing=0.1, ignore_index=0)"),
        (
            "nn.CrossEntropyLoss(\n            reduction='mean',\n            label_smoothing=0.1,\n        )",
            "nn.CrossEntropyLoss(\n            reduction='mean',\n            label_smoothing=0.1,\n"
            "            ignore_index=0,\n        )",
        ),
    ],
)
def test_the_criterion_ignores_padding(call: str, adapted: str) -> None:
    setup = PARTS["setup"].replace("nn.CrossEntropyLoss(ignore_index=0)", call)
    adaptation = adapt(net(setup=setup))
    assert names(adaptation) == ["ignore-padding"]
    assert adaptation.source == net().replace("nn.CrossEntropyLoss(ignore_index=0)", adapted)


def test_another_padding_index_is_refused() -> None:
    source = net(setup=PARTS["setup"].replace("ignore_index=0", "ignore_index=-100"))
    adaptation = adapt(source)
    assert adaptation.source == source
    assert "ignores index -100" in adaptation.refusals[0]


@pytest.mark.parametrize(
    "use", ["for part in self.criteria: part(a, b)", "self.losses = self.criteria", "self.criteria = (a, b)"]
)
def test_a_criteria_tuple_with_other_uses_is_left_alone(use: str) -> None:
    setup = (
        PARTS["setup"]
        .rstrip()
        .replace(
            "self.criterion = nn.CrossEntropyLoss(ignore_index=0)",
            "self.criteria = (nn.CrossEntropyLoss(ignore_index=0),)",
        )
    )
    source = net(setup=f"{setup}\n        {use}\n").replace("self.criterion(", "self.criteria[0](")
    assert "criterion-name" not in names(adapt(source))


@pytest.mark.parametrize(
    ("optimizer", "adapted"),
    [
        ("SGD(self.parameters(), lr=prm['lr'])", "SGD(self.parameters(), lr=prm['lr'], momentum=prm['momentum'])"),
        (
            "SGD(self.parameters(), prm['lr'], momentum=0.5)",
            "SGD(self.parameters(), prm['lr'], momentum=prm['momentum'])",
        ),
        ("RMSprop(self.parameters(), lr=0.1)", "RMSprop(self.parameters(), lr=prm['lr'], momentum=prm['momentum'])"),
        (
            "AdamW(self.parameters(), lr=prm['lr'], betas=(0.5, 0.9))",
            "AdamW(self.parameters(), lr=prm['lr'], betas=(min(prm['momentum'], 0.999), 0.9))",
        ),
        (
            "Adam(self.parameters())",
            "Adam(self.parameters(), lr=prm['lr'], betas=(min(prm['momentum'], 0.999), 0.999))",
        ),
    ],
)
def test_the_optimizer_uses_both_hyperparameters(optimizer: str, adapted: str) -> None:
    setup = PARTS["setup"].replace("SGD(self.parameters(), lr=prm['lr'], momentum=prm['momentum'])", optimizer)
    adaptation = adapt(net(setup=setup))
    assert f"self.optimizer = torch.optim.{adapted}\n" in adaptation.source
    assert set(names(adaptation)) == {"momentum-used"}
    assert_keeps_the_api(adaptation.source)


def test_an_unknown_optimizer_is_refused() -> None:
    setup = PARTS["setup"].replace(
        "SGD(self.parameters(), lr=prm['lr'], momentum=prm['momentum'])", "LBFGS(self.parameters(), lr=prm['lr'])"
    )
    assert any("momentum unused" in refusal for refusal in adapt(net(setup=setup)).refusals)


@pytest.mark.parametrize(
    "body",
    [
        "return {'lr', 'momentum', 'dropout'}",
        "return ['lr', 'momentum']",
        "return set(['lr'])",
        '"""What may be tuned."""\n    return {\'lr\', \'momentum\'}',
    ],
)
def test_the_hyperparameters_are_a_literal_set(body: str) -> None:
    adaptation = adapt(net(hyperparameters=f"def supported_hyperparameters():\n    {body}\n"))
    assert names(adaptation) == ["hyperparameters"]
    comment = "    # What may be tuned.\n" if '"""' in body else ""
    wanted = f"def supported_hyperparameters():\n{comment}    return {{'lr', 'momentum'}}\n"
    assert adaptation.source == net(hyperparameters=wanted)


def test_missing_hyperparameters_are_declared() -> None:
    adapted = adapt(net(hyperparameters="")).source
    assert load(adapted).supported_hyperparameters() == {"lr", "momentum"}


def test_a_hyperparameter_without_a_default_is_refused() -> None:
    init = PARTS["init"].rstrip() + "\n        self.rate = prm['dropout']\n"
    source = net(
        init=init, hyperparameters="def supported_hyperparameters():\n    return {'lr', 'momentum', 'dropout'}\n"
    )
    adaptation = adapt(source)
    assert adaptation.source == source
    assert "read it as .get('dropout', DEFAULT)" in adaptation.refusals[0]


def test_computed_hyperparameters_are_refused() -> None:
    source = net(hyperparameters="def supported_hyperparameters():\n    names = ['lr']\n    return set(names)\n")
    assert "does more than return names" in adapt(source).refusals[0]


@pytest.mark.parametrize(
    ("line", "use", "adapted"),
    [
        (
            "from torch._six import container_abcs",
            "container_abcs.Mapping",
            "from collections import abc as container_abcs",
        ),
        ("from torch._six import inf", "-inf", "from math import inf as inf"),
        ("from torch._six import string_classes, inf", "inf", "from torch._six import inf"),
        ("from ab.nn.util.Util import uuid4", "None", ""),
    ],
)
def test_vanished_imports_are_replaced_or_dropped(line: str, use: str, adapted: str) -> None:
    init = PARTS["init"].rstrip() + f"\n        self.kept = {use}\n"
    adaptation = adapt(net(imports=f"# what it needs\n{line}  # long ago\n{PARTS['imports']}", init=init))
    assert set(names(adaptation)) == {"vanished-imports"}
    if adapted and not adapted.startswith("from torch._six"):
        assert f"# what it needs\n{adapted}  # long ago\n" in adaptation.source
    assert "_six" not in adaptation.source
    assert "uuid4" not in adaptation.source
    load(adaptation.source)


def test_a_vanished_name_in_use_is_refused() -> None:
    init = PARTS["init"].rstrip() + "\n        self.urls = model_urls\n"
    source = net(imports=f"from torchvision.models.resnet import model_urls\n{PARTS['imports']}", init=init)
    adaptation = adapt(source)
    assert adaptation.source == source
    assert "torchvision.models.resnet.model_urls is gone" in adaptation.refusals[0]


@pytest.mark.parametrize(
    ("imports", "call", "adapted"),
    [
        (
            "import torchvision",
            "torchvision.models.resnet50(weights='DEFAULT')",
            "torchvision.models.resnet50(weights=None)",
        ),
        (
            "from torchvision import models",
            "models.resnet18(pretrained=True, progress=False)",
            "models.resnet18(weights=None, progress=False)",
        ),
        ("from torchvision.models import resnet18 as net", "net(w)", "net(weights=None)"),
    ],
)
def test_weights_are_random_only_where_asked(imports: str, call: str, adapted: str) -> None:
    init = PARTS["init"].rstrip() + f"\n        self.backbone = {call}\n"
    source = net(imports=f"{imports}\n{PARTS['imports']}", init=init)
    refused = adapt(source)
    assert refused.source == source
    assert "downloads weights" in refused.refusals[0]
    adaptation = adapt(source, random_weights=True)
    assert adaptation.source == source.replace(call, adapted)
    assert adaptation.refusals == []


def test_models_that_download_nothing_are_left_alone() -> None:
    init = (
        PARTS["init"].rstrip()
        + "\n        self.a = models.resnet18(weights=None)\n        self.b = models.resnet.BasicBlock(8, 8)\n"
    )
    source = net(imports=f"from torchvision import models\n{PARTS['imports']}", init=init)
    assert adapt(source) == Adaptation(source, [], [])


def test_a_gpu_that_no_device_stands_for_is_refused() -> None:
    source = net(imports=PARTS["imports"] + "\n\ndef move(x):\n    return x.cuda()\n")
    adaptation = adapt(source)
    assert adaptation.source == source
    assert "needs a GPU" in adaptation.refusals[0]


VOCABULARY = "from ab.nn.loader.coco_.Caption import GLOBAL_CAPTION_VOCAB"
CONSTANT = """GLOBAL_CAPTION_VOCAB = {
    'word2idx': {'<PAD>': 0, '<SOS>': 1, '<EOS>': 2, '<UNK>': 3},
    'idx2word': {0: '<PAD>', 1: '<SOS>', 2: '<EOS>', 3: '<UNK>'},
}"""


@pytest.mark.parametrize(
    "imports",
    [
        f"# what LEMUR fills\n{VOCABULARY}\n",
        f"# what LEMUR fills\ntry:\n    {VOCABULARY}\nexcept ImportError:\n    GLOBAL_CAPTION_VOCAB = {{}}\n",
    ],
)
@pytest.mark.parametrize("use", ["['word2idx']['<EOS>']", ".get('word2idx', None).get('<PAD>', 0)", ".get('idx2word')"])
def test_the_vocabulary_becomes_a_constant(imports: str, use: str) -> None:
    init = PARTS["init"].rstrip() + f"\n        self.kept = GLOBAL_CAPTION_VOCAB{use}\n"
    adaptation = adapt(net(imports=imports + PARTS["imports"], init=init))
    assert names(adaptation) == ["vocabulary"]
    wanted = f"# what LEMUR fills\n{CONSTANT}\n{PARTS['imports']}"
    assert adaptation.source == net(imports=wanted, init=init)
    assert_keeps_the_api(adaptation.source)


@pytest.mark.parametrize("use", ["len(self.word2idx)", "self.idx2word[first]", "self.word2idx['dog']"])
def test_a_net_that_needs_words_keeps_its_vocabulary(use: str) -> None:
    init = (
        PARTS["init"].rstrip() + f"\n        self.word2idx = GLOBAL_CAPTION_VOCAB['word2idx']\n        self.a = {use}\n"
    )
    source = net(imports=f"{VOCABULARY}\n{PARTS['imports']}", init=init)
    adaptation = adapt(source)
    assert adaptation.source == source
    assert "needs LEMUR's whole vocabulary" in adaptation.refusals[0]

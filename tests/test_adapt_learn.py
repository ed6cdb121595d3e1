"""`learn-returns`: the loops that it understands, what it records, and what it refuses."""

from __future__ import annotations

import textwrap

import pytest

from lemur_caption.source.adapt import AdaptError, adapt
from old_net_parts import PARTS, batches, learn_with, names, net, trained

LOOPS = {
    "pair": "for images, captions in train_data:\n    {step}",
    "batch": "for batch in train_data:\n    images, captions = batch[0], batch[1]\n    {step}",
    "enumerated": "for i, (images, captions) in enumerate(train_data):\n    {step}",
    "skipping": "for images, captions in train_data:\n    if images.size(0) < 1:\n        continue\n    {step}",
    "next": "data = iter(train_data)\nwhile True:\n    try:\n        images, captions = next(data)\n"
    "    except StopIteration:\n        break\n    {step}",
}
MEASURE = "for images, captions in train_data:\n    loss = self.measure(images, captions)\n"
STEP = """captions = captions[:, 0]
    logits = self(images, captions)[0]
    loss = self.criterion(logits.reshape(-1, logits.size(-1)), captions[:, 1:].reshape(-1))
    self.optimizer.zero_grad()
    loss.backward()
    self.optimizer.step()"""


@pytest.mark.parametrize("form", LOOPS)
def test_learn_returns_what_the_loop_measured(form: str) -> None:
    adaptation = adapt(learn_with(LOOPS[form].format(step=STEP)))
    assert names(adaptation) == ["learn-returns"]
    _, (accuracy, loss) = trained(adaptation.source)
    _, (_, expected) = trained(net())
    assert loss == pytest.approx(expected, rel=1e-5)
    assert 0 <= accuracy <= 1


def test_learn_counts_the_accuracy_of_words_alone() -> None:
    """The output layer says word 5 for every position, and padding counts neither as a hit nor as a token."""
    frozen = STEP.replace("logits = self(images, captions)[0]", "logits = self(images, captions)[0] * 0 + self.fives")
    init = (
        PARTS["init"].rstrip() + "\n        self.fives = 9.0 * nn.functional.one_hot(torch.tensor(5), out_shape[0])\n"
    )
    learn = "    def learn(self, train_data):\n" + textwrap.indent(LOOPS["pair"].format(step=frozen), " " * 8) + "\n"
    _, (accuracy, _) = trained(adapt(net(init=init, learn=learn)).source)
    targets = batches()[0][1][:, 0, 1:]
    assert accuracy == pytest.approx(((targets == 5).sum() / (targets != 0).sum()).item())


@pytest.mark.parametrize(
    ("step", "recorded"),
    [
        ("loss.backward()", "loss_sum += loss.item()"),
        ("(loss / 4).backward()", "loss_sum += loss.item()"),
        ("loss = loss / 4\n    loss.backward()", "loss_sum += loss.item()"),
        ("self.scaler.scale(loss).backward()", "loss_sum += loss.item()"),
        ("(loss + extra).backward()", "loss_sum += (loss + extra).item()"),
        ("loss.mean().backward()", "loss_sum += loss_.item()"),
        ("self.loss.backward()", "loss_sum += self.loss.item()"),
    ],
)
def test_learn_records_the_loss_itself(step: str, recorded: str) -> None:
    loop = f"{MEASURE}    {step}\n    self.optimizer.step()"
    lines = [line.strip() for line in adapt(learn_with(loop)).source.splitlines()]
    assert recorded in lines
    assert "batches += 1" in lines
    if "loss = loss / 4" in lines:
        assert lines.index(recorded) < lines.index("loss = loss / 4")


def test_a_loss_without_a_name_is_computed_once() -> None:
    loop = "for images, captions in train_data:\n    self.measure(images, captions).backward()"
    adapted = adapt(learn_with(loop)).source
    assert adapted.count("self.measure(images, captions)") == 1
    assert "loss = self.measure(images, captions)\n            loss.backward()\n" in adapted


def test_several_losses_are_summed_and_the_batch_counts_once() -> None:
    loop = """
        for images, captions in train_data:
            one, two = self.measure(images, captions)
            one.backward(retain_graph=True)
            two.backward()
    """
    adapted = adapt(learn_with(loop)).source
    assert "loss_sum += one.item()" in adapted
    assert "loss_sum += two.item()" in adapted
    assert adapted.count("batches += 1") == 1


def test_exclusive_branches_each_count_their_batch() -> None:
    loop = """
        for images, captions in train_data:
            loss = self.measure(images, captions)
            if self.amp:
                self.scaler.scale(loss).backward()
            else:
                loss.backward()
    """
    adapted = adapt(learn_with(loop)).source
    assert adapted.count("loss_sum += loss.item()") == 2
    assert adapted.count("batches += 1") == 2


def test_early_returns_return_what_was_measured() -> None:
    loop = f"{MEASURE}    loss.backward()\n    if self.enough:\n        return"
    adapted = adapt(learn_with(loop, before="if self.done:\n    return None")).source
    assert adapted.count("return loss_sum / max(batches, 1)") == 3
    body = adapted[adapted.index("def learn") :]
    assert body.index("loss_sum, batches = 0.0, 0") < body.index("if self.done")


def test_names_in_use_are_left_alone() -> None:
    loop = f"{MEASURE}    loss.backward()\n    batches += 1"
    adapted = adapt(learn_with(loop, before="batches = 0")).source
    assert "batches_ += 1" in adapted
    assert "return loss_sum / max(batches_, 1)" in adapted


@pytest.mark.parametrize(
    ("learn", "reason"),
    [
        ("for images, captions in train_data:\n    pass", "learn never calls .backward()"),
        ("self.measure(train_data).backward()", "no loop over its batches"),
        ("for batch in train_data:\n    self.step(batch)", "learn never calls .backward()"),
        ("for batch in train_data:\n    self.train_setup(batch)", "learn trains in self.train_setup"),
        ("for batch in train_data:\n    yield self.measure(batch)", "learn is a generator"),
        (
            "def closure():\n    self.loss.backward()\nfor batch in train_data:\n    self.optimizer.step(closure)",
            "nested function",
        ),
        (
            "for b in train_data:\n    self.a(b).backward()\n    for c in b:\n        self.a(c).backward()",
            "several depths",
        ),
        ("for batch in train_data: self.measure(batch).backward()", "stands on one line"),
        (
            "for batch in train_data:\n    loss = self.a(batch)\n    loss.backward(self.weight)",
            "called with an argument",
        ),
    ],
)
def test_a_learn_that_is_not_understood_is_refused(learn: str, reason: str) -> None:
    source = learn_with(learn).replace("self.to(self.device)", "self.loss.backward()")
    with pytest.raises(AdaptError, match=reason.replace("(", r"\(").replace(")", r"\)")):
        adapt(source)


@pytest.mark.parametrize("value", ["{'loss': loss}", "0.0, loss, 1", "[loss]"])
def test_a_result_that_lemur_cannot_take_is_refused(value: str) -> None:
    source = learn_with(f"loss = 0.5\nreturn {value}")
    adaptation = adapt(source)
    assert adaptation.source == source
    assert "return (accuracy, mean loss)" in adaptation.refusals[0]

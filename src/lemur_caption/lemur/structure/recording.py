"""What a run leaves: operators in their order, what they read, and what of it comes from the image and from the words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

# Operators that multiply matrices.
PRODUCTS = frozenset({"mm", "addmm", "bmm", "baddbmm"})
SOFTMAXES = frozenset({"_softmax", "_safe_softmax"})
# Operators that hand on the numbers that they are given, in another shape.
_SHAPING = frozenset(
    {"view", "_unsafe_view", "reshape", "expand", "transpose", "transpose_", "permute", "t", "unsqueeze"}
)
_SHAPING |= {"squeeze", "clone", "contiguous", "_to_copy", "alias", "detach", "select", "slice", "copy_"}


@dataclass(frozen=True)
class Value:
    """A tensor that an operator reads.

    `producer` is the index of the last operator that wrote to its memory, -1 for what was there before the run: weights
    and inputs. `distinct` is its shape with 1 for every dimension along which it only repeats itself. `image` and
    `words`: whether it depends on them.
    """

    producer: int
    storage: int
    shape: tuple[int, ...]
    distinct: tuple[int, ...]
    image: bool
    words: bool

    @property
    def is_image(self) -> bool:
        """Made of the image and not of the words."""
        return self.image and not self.words


@dataclass(frozen=True)
class Op:
    """One operator call. `before` has the bit of every operator that it depends on, and its own.

    `image` and `words`: whether it depends on them. `groups` are a convolution's. `choices`, of a softmax, is between how
    many it divides the weight; `causal`, of one over pairs of positions, whether none is above the diagonal.
    """

    index: int
    name: str
    inputs: tuple[Value, ...]
    shape: tuple[int, ...]
    before: int
    image: bool
    words: bool
    groups: int = 1
    choices: int = 0
    causal: bool = False

    @property
    def is_image(self) -> bool:
        """Computed from the image and not from the words."""
        return self.image and not self.words

    @property
    def shapes_only(self) -> bool:
        return self.name in _SHAPING

    @property
    def data(self) -> list[Value]:
        """What it reads of the image or the words; the rest are weights and constants."""
        return [value for value in self.inputs if value.image or value.words]


@dataclass(frozen=True)
class Recurrent:
    """A recurrent layer of torch.nn that ran over words: `lstm`, `gru` or `rnn`."""

    kind: str
    hidden_size: int
    layers: int


@dataclass
class Recording:
    """One teacher-forced forward of a Net. `words` is how many of the caption it was given to read."""

    words: int
    ops: list[Op] = field(default_factory=list)
    recurrent: dict[int, Recurrent] = field(default_factory=dict)
    flops: int = 0

    def readers(self, op: Op) -> Iterator[Op]:
        """The operators that read what `op` has made, through changes of shape."""
        made = {op.index}
        for later in self.ops[op.index + 1 :]:
            if any(value.producer in made for value in later.inputs):
                if later.shapes_only:
                    made.add(later.index)
                else:
                    yield later

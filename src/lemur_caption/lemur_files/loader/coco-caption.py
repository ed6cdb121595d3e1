# Part of lemur-caption (MIT licence); written by `lemur-caption register`.
"""Dataset `coco-caption`: MS COCO 2017 captions, or any folder of that layout, read from data/coco."""

from lemur_caption.lemur.loading import load


def loader(transform_fn, task):
    """LEMUR's interface: (out_shape, minimum_accuracy, train_set, test_set), out_shape (vocabulary size,)."""
    return load("coco-caption", transform_fn, task)

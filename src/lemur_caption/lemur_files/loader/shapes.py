# Part of lemur-caption (MIT licence); written by `lemur-caption register`.
"""Dataset `shapes`: rendered scenes of coloured shapes with five captions each; rendered into data/shapes when first used."""

from lemur_caption.lemur.loading import load


def loader(transform_fn, task):
    """LEMUR's interface: (out_shape, minimum_accuracy, train_set, test_set), out_shape (vocabulary size,)."""
    return load("shapes", transform_fn, task)

# Part of lemur-caption (MIT licence); written by `lemur-caption register`.
"""Square images of 96 px: the shorter side scaled, the middle kept, channels normalized."""

from torchvision import transforms

SIZE = 96


def transform(norm):
    """`norm` holds the channels' means and standard deviations on the scale [0, 1]."""
    mean, std = norm
    steps = [
        transforms.Resize(SIZE),
        transforms.CenterCrop(SIZE),
        transforms.ToTensor(),
        transforms.Normalize(mean=mean, std=std),
    ]
    return transforms.Compose(steps)

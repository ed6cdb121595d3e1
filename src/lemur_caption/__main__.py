"""`python -m lemur_caption` is the command `lemur-caption`."""

from .cli import main

main()

"""What the language model is shown: excerpts of classification Nets, and the prompts made of them."""

from lemur_caption.prompt.pool import released_pool, torchvision_pool
from lemur_caption.prompt.render import design_prompt, family
from lemur_caption.prompt.snippets import Snippet, encoder_families, sample_snippets

__all__ = [
    "Snippet",
    "design_prompt",
    "encoder_families",
    "family",
    "released_pool",
    "sample_snippets",
    "torchvision_pool",
]

"""What the language model is shown: excerpts of classification Nets, and the prompts made of them."""

from lemur_caption.prompt.render import design_prompt, family
from lemur_caption.prompt.snippets import Snippet, sample_snippets, torchvision_pool

__all__ = ["Snippet", "design_prompt", "family", "sample_snippets", "torchvision_pool"]

"""Where responses come from: one interface, chosen by a spec string.

`load("smollm2")` is the embedded language model, `load("hf:<model>")` one that transformers runs,
`load("openai:<model>@<url>")` one behind a server, `load("replay:<folder>")` recorded responses.
"""

from lemur_caption.generator.base import Factory, Generator, Prompt, Response, Sampling, builtin_backends, load

__all__ = ["Factory", "Generator", "Prompt", "Response", "Sampling", "builtin_backends", "load"]

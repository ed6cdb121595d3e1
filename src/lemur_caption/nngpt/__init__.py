"""NNGPT (`nn-gpt`): its prompt files in and out, and Nets in the layout that `ab.gpt.NNEval` evaluates.

Nothing here imports NNGPT: its prompt files and folders are an interface of their own.
"""

from .prompt_json import PromptEntry, export, load
from .synth import alter, requests

__all__ = ["PromptEntry", "alter", "export", "load", "requests"]

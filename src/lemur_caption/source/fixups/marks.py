"""What is around code in an answer: Markdown fences, XML tags, typographic characters."""

from __future__ import annotations

import html
import re

from lemur_caption.source.fixups.scan import parse, scan

# The tags that NNGPT's prompts ask for, and those that models like to add.
TAGS = ("nn", "nn_code", "hp", "tr", "code", "python", "answer", "response", "output", "solution", "result")
TAG = rf"</?(?:{'|'.join(TAGS)})>"
_WHOLE_LINE = re.compile(rf"[ \t>]*(?:[`~]{{3,}}[^\n`]*|(?:{TAG}[ \t]*)+)[ \t]*$", re.IGNORECASE)
_AT_START = re.compile(rf"^([ \t]*)(?:{TAG}[ \t]*|[`~]{{3,}}(?:[ \t]*python\b)?)+[ \t]*", re.IGNORECASE)
_AT_END = re.compile(rf"[ \t]*(?:{TAG}|[`~]{{3,}})[ \t]*$", re.IGNORECASE)
_LANGUAGE = re.compile(r"\s*(?:python3?|py)[ \t]*\n", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:lt|gt|amp|quot|#39);")
_SPACES = re.compile("[\u00a0\u2000-\u200a\u202f\u205f\u3000]")
_INVISIBLE = re.compile("[\u200b-\u200f\u2060\ufeff\x00]")
_QUOTES = str.maketrans("\u2018\u2019\u201c\u201d", "''\"\"")


def strip_marks(code: str) -> str:
    """Take out Markdown fences and XML tags that were left in the code, and a language's name before it.

    Why: models nest fences, forget to close them, and wrap code in the tags that the prompt mentioned; each is a syntax
    error. Code that parses is left alone, so a fence in a docstring stays; but `&lt;` becomes `<` wherever it stands for
    an operator, since `a &lt; b` parses and means nothing.
    """
    if _ENTITY.search(code) and not _only_in_strings(code):
        code = html.unescape(code)
    if parse(code) is not None:
        return code
    code = _LANGUAGE.sub("", code, count=1) if _LANGUAGE.match(code) else code
    kept = []
    for line in code.split("\n"):
        if not _WHOLE_LINE.match(line):
            kept.append(_AT_END.sub("", _AT_START.sub(r"\1", line)))
    return "\n".join(kept)


def _only_in_strings(code: str) -> bool:
    tokens = [token for token in scan(code) if token.kind != "string"]
    return not any(_ENTITY.match(code, token.start) for token in tokens if token.text == "&")


def plain_characters(code: str) -> str:
    r"""Unix line ends, plain spaces and quotes, nothing invisible.

    Why: text that went through a chat page holds no-break spaces, zero-width characters, `\r` and typographic quotes,
    none of which Python reads. Code that parses changes in its line ends only.
    """
    code = code.replace("\r\n", "\n").replace("\r", "\n")
    if parse(code) is not None:
        return code
    plain = _INVISIBLE.sub("", _SPACES.sub(" ", code))
    if any(token.text in "\u2018\u2019\u201c\u201d" for token in scan(plain)):
        plain = plain.translate(_QUOTES)
    return plain

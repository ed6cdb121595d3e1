"""Any server that speaks OpenAI's chat completions: vLLM, llama.cpp, Ollama, or a paid one."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2

from lemur_caption.errors import GeneratorError, UsageError
from lemur_caption.generator.base import (
    Prompt,
    Question,
    Response,
    Sampling,
    generate_singly,
    positive_option,
    split_options,
)

KEYS = ("LEMUR_CAPTION_API_KEY", "OPENAI_API_KEY")
CHARACTERS_PER_TOKEN = 3  # of code, rather too few than too many; the server's tokenizer is not at hand
CONTEXT = 32_768
TIMEOUT = 600  # seconds; a thinking model of 8 billion parameters may well think for minutes
CONNECT_TIMEOUT = 10.0  # seconds
RETRIES = 4
LONGEST_WAIT = 60.0  # seconds, also where a server asks for more
DETAIL = 300  # characters of a server's own message that an error carries
RESPONSE_FORMATS = ("json_schema", "json_object")
OPTIONS = ("concurrent", "context", "max_new_tokens", "retries", "schema", "timeout")
CONCURRENT = 8
USAGE = "write openai:MODEL@BASE_URL, as in openai:Qwen/Qwen3-8B@http://127.0.0.1:8000/v1"


class OpenAIServer:
    """A model behind `{base_url}/chat/completions`. May be asked from several threads at once.

    Connection errors and the answers 429 and 5xx are tried again, up to `retries` times, after 1, 2, 4, ... seconds or
    what `Retry-After` says, at most a minute; `sleep` does the waiting. An answer must be whole within `timeout`
    seconds, and is not asked for again when it is not. `max_new_tokens` replaces the sampling's own limit.
    `concurrent` is how many questions may be under way at once when several are asked together.
    `response_format` is how a schema travels: `json_schema` as OpenAI has it, or `json_object` with
    the schema beside it, as llama-cpp-python reads it.

    The key is read from the environment for each request and kept nowhere. Nothing is sent before the first question.
    """

    def __init__(
        self,
        model: str,
        base_url: str,
        *,
        context_length: int = CONTEXT,
        max_new_tokens: int | None = None,
        timeout: float = TIMEOUT,
        retries: int = RETRIES,
        response_format: str = "json_schema",
        concurrent: int = CONCURRENT,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if "@" in base_url.partition("://")[2].partition("/")[0]:
            # It would end up in records; the address is not shown here for the same reason.
            raise UsageError(f"the server's address holds a name or a key before '@'; put the key into {KEYS[0]}")
        try:
            address = httpx2.URL(base_url)
        except httpx2.InvalidURL as error:
            raise UsageError(f"'{base_url}' is no address ({error}); {USAGE}") from error
        if address.scheme not in ("http", "https") or not address.host:
            raise UsageError(f"'{base_url}' is no http or https address; {USAGE}")
        if response_format not in RESPONSE_FORMATS:
            raise UsageError(f"unknown schema option '{response_format}'; known: {', '.join(RESPONSE_FORMATS)}")
        self.name = model
        self.base_url = base_url.rstrip("/")
        self.context_length = context_length
        self._max_new_tokens = max_new_tokens
        self._timeout = timeout
        self._retries = retries
        self._response_format = response_format
        self._sleep = sleep
        self.batch_size = concurrent
        # The driver decides how many requests run at once, not the pool.
        self._client = httpx2.Client(
            timeout=httpx2.Timeout(timeout, connect=min(CONNECT_TIMEOUT, timeout)),
            limits=httpx2.Limits(max_connections=None),
        )

    @classmethod
    def from_argument(cls, argument: str) -> OpenAIServer:
        """From `MODEL@BASE_URL[?option=value&...]`. Raises UsageError where that is not what it says."""
        head, options = split_options(argument, OPTIONS)
        # A model's name may hold '@' itself.
        parts = re.fullmatch(r"(.+?)@(https?://.+)", head)
        if parts is None:
            raise UsageError(f"'openai:' needs a model and a server's address; {USAGE}")
        retries = options.get("retries", str(RETRIES))
        if not retries.isdecimal():
            raise UsageError(f"the option 'retries' is '{retries}'; give a whole number, 0 for none")
        return cls(
            parts[1],
            parts[2],
            context_length=positive_option(options, "context") or CONTEXT,
            max_new_tokens=positive_option(options, "max_new_tokens"),
            timeout=positive_option(options, "timeout") or TIMEOUT,
            retries=int(retries),
            response_format=options.get("schema", "json_schema"),
            concurrent=positive_option(options, "concurrent") or CONCURRENT,
        )

    def count_tokens(self, text: str) -> int:
        """An estimate for code, rounded up: three characters a token."""
        return -(-len(text) // CHARACTERS_PER_TOKEN)

    def generate(self, prompt: Prompt, sampling: Sampling, schema: dict[str, Any] | None = None) -> Response:
        """Answer `prompt`. Without a schema, thoughts that the server sends apart come first, in `<think>` tags.

        Raises GeneratorError, one line, where the server cannot be reached, refuses, or answers with nothing of use.
        """
        start = time.perf_counter()
        question: dict[str, Any] = {
            "model": self.name,
            "messages": [{"role": "system", "content": prompt.system}, {"role": "user", "content": prompt.user}],
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": self._max_new_tokens or sampling.max_new_tokens,
            "seed": sampling.seed,
        }
        if schema is not None:
            question["response_format"] = self._constraint(schema)
        answer = self._ask(question)
        text, truncated = self._text(answer, thoughts=schema is None)
        usage = answer["usage"] if isinstance(answer.get("usage"), dict) else {}
        asked, new = usage.get("prompt_tokens"), usage.get("completion_tokens")
        return Response(
            text=text,
            prompt_tokens=asked if isinstance(asked, int) else self.count_tokens(prompt.system + prompt.user),
            new_tokens=new if isinstance(new, int) else self.count_tokens(text),
            seconds=time.perf_counter() - start,
            truncated=truncated,
        )

    def generate_all(self, questions: Sequence[Question]) -> list[Response | GeneratorError]:
        """All questions at once, at most `batch_size` requests under way; a failure costs its own answer alone."""
        with ThreadPoolExecutor(self.batch_size) as threads:
            return [answer for (answer,) in threads.map(lambda asked: generate_singly(self, [asked]), questions)]

    def _constraint(self, schema: dict[str, Any]) -> dict[str, Any]:
        if self._response_format == "json_object":
            return {"type": "json_object", "schema": schema}
        return {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}}

    def _text(self, answer: dict[str, Any], thoughts: bool) -> tuple[str, bool]:
        """The text of an answer's only choice, and whether the token limit cut it off."""
        choices = answer.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        message = choice.get("message") if isinstance(choice, dict) else None
        if not isinstance(choice, dict) or not isinstance(message, dict):
            raise GeneratorError(f"the server at {self.base_url} answered without a choice; see its log")
        truncated = choice.get("finish_reason") == "length"
        content = message.get("content") or ""
        # vLLM and llama.cpp have sent thoughts under the first name, newer vLLM and Ollama use the second.
        reasoning = message.get("reasoning_content") or message.get("reasoning") or ""
        if not isinstance(content, str) or not isinstance(reasoning, str):
            raise GeneratorError(f"the server at {self.base_url} answered with something other than text")
        if reasoning and thoughts:
            cut_off = truncated and not content
            content = f"<think>\n{reasoning}" if cut_off else f"<think>\n{reasoning}\n</think>\n\n{content}"
        if not content.strip():
            remedy = "; give it more new tokens" if truncated else ""
            raise GeneratorError(f"the server at {self.base_url} returned an empty answer{remedy}")
        return content, truncated

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """Post until there is an answer, or no more tries."""
        key, failure = _key(), ""
        for attempt in range(self._retries + 1):
            wait = min(2.0**attempt, LONGEST_WAIT)
            try:
                status, headers, body = self._post(question, key)
            except httpx2.ReadTimeout as error:
                raise self._too_slow() from error
            except httpx2.TransportError as error:  # refused, reset, closed early, no route, no such host
                failure = (
                    f"cannot be reached or closed the connection ({_safe(str(error) or type(error).__name__, key)})"
                )
            except httpx2.HTTPError as error:
                raise GeneratorError(
                    f"the server at {self.base_url} sent nonsense: {_safe(str(error), key)}"
                ) from error
            else:
                if status == 200:
                    return self._json(body, key)
                if status != 429 and status < 500:
                    raise self._refusal(status, body, key)
                failure = f"answers {status} ({_safe(_message(body), key)})"
                if (after := headers.get("retry-after", "")).isdecimal():
                    wait = min(float(after), LONGEST_WAIT)
            if attempt < self._retries:
                self._sleep(wait)
        tries = "once" if self._retries == 0 else f"{self._retries + 1} times"
        raise GeneratorError(f"the server at {self.base_url} {failure}; tried {tries}. Is it running and free?")

    def _post(self, question: dict[str, Any], key: str) -> tuple[int, httpx2.Headers, bytes]:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        deadline = time.monotonic() + self._timeout
        body = bytearray()
        with self._client.stream("POST", f"{self.base_url}/chat/completions", json=question, headers=headers) as reply:
            for part in reply.iter_bytes():
                body += part
                # The client's own limit is for each part; a server that trickles would never reach it.
                if time.monotonic() > deadline:
                    raise self._too_slow()
        return reply.status_code, reply.headers, bytes(body)

    def _too_slow(self) -> GeneratorError:
        return GeneratorError(
            f"the server at {self.base_url} gave no whole answer within {self._timeout:g} s; "
            "give it longer (`?timeout=SECONDS` after the address) or ask for fewer tokens"
        )

    def _json(self, body: bytes, key: str) -> dict[str, Any]:
        try:
            answer = json.loads(_decode(body))
        except (ValueError, RecursionError) as error:
            raise GeneratorError(
                f"the server at {self.base_url} answered with something other than JSON ({_safe(_message(body), key)}); "
                "does the address end where its API begins (often /v1)?"
            ) from error
        if not isinstance(answer, dict):
            raise GeneratorError(f"the server at {self.base_url} answered with JSON that is no object")
        return answer

    def _refusal(self, status: int, body: bytes, key: str) -> GeneratorError:
        said = _safe(_message(body), key)
        if status in (401, 403):
            remedy = f"it refused the key in {_key_name()}" if key else f"set {KEYS[0]} to its key"
        elif status == 404:
            remedy = (
                f"does it serve the model '{self.name}', and does the address end where its API begins (often /v1)?"
            )
        elif 300 <= status < 400:
            remedy = "it redirects; give the address it redirects to"
        else:
            remedy = f"does it take this request for '{self.name}'?"
        return GeneratorError(f"the server at {self.base_url} answers {status} ({said}); {remedy}")


def _key_name() -> str:
    return next((name for name in KEYS if os.environ.get(name, "").strip()), "")


def _key() -> str:
    """The key in the environment, or an empty string. Raises GeneratorError, without the key, where it cannot be sent."""
    key = os.environ.get(_key_name(), "").strip()
    if not key.isascii() or not key.isprintable():
        raise GeneratorError(f"the key in {_key_name()} holds characters that no HTTP header may; set it again")
    return key


def _message(body: bytes) -> str:
    """What a server says in an answer that is no completion: its error's message where it has the usual form."""
    try:
        said = json.loads(_decode(body))
    except (ValueError, RecursionError):
        return _decode(body)
    error = said.get("error", said) if isinstance(said, dict) else said
    return str(error.get("message", error) if isinstance(error, dict) else error)


def _decode(body: bytes) -> str:
    # Not strictly: a UnicodeDecodeError carries all of the body, and a server may have put the key into it.
    return body.decode("utf-8", "replace")


def _safe(text: str, key: str) -> str:
    """`text` on one line, cut to size, and without the key, which servers and libraries may repeat."""
    line = " ".join((text.replace(key, "[key]") if key else text).split()) or "without a word"
    return line if len(line) <= DETAIL else f"{line[:DETAIL]}..."

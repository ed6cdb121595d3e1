"""`python -m lemur_caption.contract.sandbox.launch STATUS_FD POLICY -- PROGRAM …`: one program, supervised.

The program gets this process's standard streams and working folder. How it ended is written to the status
descriptor as JSON, which the program does not inherit.
"""

from __future__ import annotations

import json
import os
import sys

from lemur_caption.contract.sandbox import linux, syscalls
from lemur_caption.contract.sandbox.limits import Policy
from lemur_caption.contract.sandbox.supervise import Protections, supervise


def main(arguments: list[str]) -> int:
    status, policy, program = int(arguments[0]), Policy.from_dict(json.loads(arguments[1])), arguments[3:]
    os.set_inheritable(status, False)
    syscalls.library()
    told = bytearray()

    def child(pipe: int, states: Protections) -> None:
        os.write(pipe, json.dumps(states).encode())
        os.set_inheritable(pipe, False)
        try:
            os.execvp(program[0], program)
        except OSError as error:
            print(f"{program[0]}: {error.strerror}", file=sys.stderr, flush=True)
            os._exit(127)

    ending = supervise(child, policy, told.extend, close=[status], execute=True)
    if told:
        ending.protections = json.loads(told)
    os.write(status, json.dumps(ending.to_dict()).encode())
    os.close(status)
    return ending.code if ending.reason == "exit" else 128 + ending.code


if __name__ == "__main__":
    if linux.ON_LINUX:
        linux.die_with_parent(os.getppid())
    sys.exit(main(sys.argv[1:]))

"""LEMUR's rating of code where trials are forked from a server: pylint as a function, with the program's findings."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from lemur_caption.architecture import default_design, render

PROGRAM = """
import json, sys
from lemur_caption.lemur import compat
from ab.nn.util.db.Init import init_db
init_db()
from ab.nn.util import CodeEval
example, *nets = sys.argv[1:]
as_program = [CodeEval.run_pylint(nets[0])]
compat.rate_here(example)
print(json.dumps([as_program, [CodeEval.run_pylint(net) for net in nets]]))
"""


@pytest.mark.slow
def test_the_rating_is_the_programs(rating_python: Path, tmp_path: Path) -> None:
    sloppy = render(default_design()).replace("import math\n", "import math\nimport os\n") + "\nx = undefined_name\n"
    broken = tmp_path / "broken.py"
    broken.write_text("class Net(\n", encoding="utf-8")
    (tmp_path / "sloppy.py").write_text(sloppy, encoding="utf-8")
    (tmp_path / "example.py").write_text(render(default_design()), encoding="utf-8")
    done = subprocess.run(
        [rating_python, "-c", PROGRAM, "example.py", "sloppy.py", "broken.py"],
        cwd=tmp_path,
        env=os.environ | {"PATH": f"{rating_python.parent}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    (program,), (sloppy_found, broken_found) = json.loads(done.stdout.splitlines()[-1])
    assert {"undefined-variable", "unused-import"} <= {finding["symbol"] for finding in program}, program
    assert sloppy_found == program
    assert [finding["symbol"] for finding in broken_found] == ["syntax-error"]

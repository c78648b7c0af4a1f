"""The reading example of docs/trace-format.md runs as written, with numpy alone."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from hobbit.trace import write_trace
from tests.trace.samples import small_trace

PAGE = Path(__file__).parents[2] / "docs" / "trace-format.md"


def test_the_example_runs_without_hobbit_or_torch(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    write_trace(small_trace(), tmp_path / "books.test.npz")
    check = "\nimport sys\nprint({'torch', 'hobbit'} & set(sys.modules))"
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", code + check], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    first, second, third = done.stdout.splitlines()
    assert first == "synthetic synthetic (41, 4, 2)"
    assert second.endswith(" 1.0")
    assert third == "set()"

"""The traces that travel inside the package, recorded from the bundled model."""

from __future__ import annotations

from importlib.resources import as_file, files

from hobbit.errors import TraceError, nearest
from hobbit.trace.file import read_trace
from hobbit.trace.trace import Trace

DOMAINS = ("books", "code", "maths")
PARTS = ("train", "test")


def bundled_trace(domain: str, part: str = "test") -> Trace:
    """The bundled trace of one domain; prompts of the train part (for tuning) and the test part are disjoint.

    Raises:
        TraceError: if there is no such trace.
    """
    for name, value, known in (("domain", domain, DOMAINS), ("part", part, PARTS)):
        if value not in known:
            raise TraceError(f"no bundled trace has {name} {value!r}{nearest(value, known)}")
    with as_file(files("hobbit") / "bundled" / "traces" / f"{domain}.{part}.npz") as path:
        return read_trace(path)

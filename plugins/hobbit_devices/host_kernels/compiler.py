"""The system's C compiler."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hobbit.errors import DeviceError

HEADERS = Path(__file__).parent

COMMANDS = ("cc", "gcc", "clang")

FLAGS = ("-O3", "-fopenmp-simd", "-fno-math-errno", "-shared", "-fPIC", "-pthread")

MACHINE = (
    (
        "-march=native",
        "-mprefer-vector-width=512",
    ),  # else gcc halves the vectors: int4 at a third
    ("-march=native",),
    ("-mcpu=native",),
    (),
)
"""Flags for the machine at hand; the first that the compiler knows are taken."""

PATIENCE_S = 120
"""Seconds that a compiler may take."""


class CompilerError(DeviceError):
    """A compiler that is not there, or cannot make the library."""


@dataclass(frozen=True, slots=True)
class Compiler:
    """A command, its first words, and what it says of its version."""

    command: tuple[str, ...]
    version: str

    @staticmethod
    def find() -> Compiler:
        """$CC if it is set, else the first there is. Raises CompilerError."""
        chosen = shlex.split(os.environ.get("CC", ""))
        for command in [chosen] if chosen else [[name] for name in COMMANDS]:
            if shutil.which(command[0]) is not None:
                return Compiler(tuple(command), _run([*command, "--version"]))
        wanted = f"CC={chosen[0]} is no command" if chosen else f"none of {', '.join(COMMANDS)} is there"
        raise CompilerError(f"no C compiler: {wanted}")

    def compile(self, sources: Sequence[Path], library: Path) -> None:
        """Make a shared library for this machine of C files and those in HEADERS.

        Raises CompilerError with what the compiler says.
        """
        files = [f"-I{HEADERS}", *map(str, sources), "-o", str(library), "-lm"]
        for number, machine in enumerate(MACHINE, 1):
            try:
                _run([*self.command, *FLAGS, *machine, *files])
            except CompilerError:
                if number == len(MACHINE):
                    raise
            else:
                return

    def fingerprint(self) -> str:
        """What the library depends on beside its source: compiler, flags, and the processor's abilities."""
        return repr((self.command, self.version, FLAGS, MACHINE, platform.machine(), _processor()))


def _run(words: Sequence[str]) -> str:
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CompilerError(f"{words[0]} does not run: {error}") from error
    if done.returncode:
        said = done.stderr.splitlines()
        complaint = next((line for line in said if "error" in line), said[0] if said else done.returncode)
        raise CompilerError(f"{words[0]} failed: {complaint}")
    return done.stdout


def _processor() -> str:
    """Model and instruction sets, as Linux lists them."""
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split("\n\n")[0]
    except OSError:
        return platform.processor()
    wanted = ("vendor", "model", "cpu family", "flags", "isa", "Features", "CPU ")
    return "\n".join(line for line in first.splitlines() if line.startswith(wanted))

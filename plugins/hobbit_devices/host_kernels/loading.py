"""From the C file to functions that can be called."""

from __future__ import annotations

from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from hobbit.errors import DeviceError
from hobbit_devices.host_kernels.compiler import Compiler
from hobbit_devices.host_kernels.host_kernels import HostKernels
from hobbit_devices.host_kernels.library_cache import LibraryCache, cache_folder
from hobbit_devices.host_kernels.self_check import check

SOURCE = Path(__file__).parent / "expert.c"
OTHERS = tuple(SOURCE.with_name(name) for name in ("lane.c", "team.c"))
HEADERS = tuple(SOURCE.with_name(name) for name in ("products.h", "lossless12.h", "vectors.h", "team.h"))


def load(source: Path = SOURCE) -> tuple[HostKernels | None, str | None]:
    """The kernels, from the user's cache or compiled now (a second or so), or None and why."""
    try:
        compiler = Compiler.find()
        made_of = b"".join(path.read_bytes() for path in (source, *OTHERS, *HEADERS))
        key = sha256(made_of + compiler.fingerprint().encode()).hexdigest()[:16]
        cache = LibraryCache(cache_folder(), key)
        return _cached(cache) or _made(compiler, source, cache), None
    except (DeviceError, OSError) as error:
        return None, str(error)


def _cached(cache: LibraryCache) -> HostKernels | None:
    for path in cache.whole():
        with suppress(DeviceError, OSError):
            return _checked(path)
        with suppress(OSError):
            path.unlink()
    return None


def _made(compiler: Compiler, source: Path, cache: LibraryCache) -> HostKernels:
    with cache.workplace() as library:
        compiler.compile((source, *OTHERS), library)
        kernels = _checked(library)
        cache.keep(library)
        return kernels


def _checked(path: Path) -> HostKernels:
    kernels = HostKernels(path)
    check(kernels)
    return kernels

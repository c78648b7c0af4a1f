"""DirectFile: reads of a file that go past the page cache, where the file system allows that."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from mmap import mmap
from pathlib import Path
from threading import local

import numpy as np
import numpy.typing as npt

from hobbit.blob import PAGE

Bytes = npt.NDArray[np.uint8]


class DirectFile:
    """A file of blobs, open for reading by any number of threads.

    With `direct` the system moves bytes from the disk to where they are wanted and keeps none (O_DIRECT).
    Where it refuses, reads are buffered, without its own reading ahead, and what they left in the page cache
    is given back at once. Raises OSError.
    """

    def __init__(self, path: Path) -> None:
        self.direct = True
        self._local = local()
        self._fd = _open_direct(path)
        if self._fd < 0:
            self.direct = False
            self._fd = os.open(path, os.O_RDONLY)
            _advise(self._fd, 0, 0, "POSIX_FADV_RANDOM")

    def read(self, target: Bytes, offset: int) -> int:
        """Fill `target`, uint8 [n], from byte `offset`, a multiple of PAGE; returns the bytes read for it.

        The file must reach to the end of the last page. A target that starts on a page is filled in place.
        Raises OSError, also for a file that ends too early.
        """
        if not self.direct:
            _read_all(self._fd, target, offset)
            _advise(self._fd, offset, len(target), "POSIX_FADV_DONTNEED")
            return len(target)
        whole = len(target) // PAGE * PAGE
        if target.ctypes.data % PAGE:
            whole = 0
        _read_all(self._fd, target[:whole], offset)
        rest = target[whole:]
        if not len(rest):
            return whole
        pages = self._bounce(-(-len(rest) // PAGE) * PAGE)
        _read_all(self._fd, pages, offset + whole)
        rest[:] = pages[: len(rest)]
        return whole + len(pages)

    def close(self) -> None:
        """Close the file; reads fail from now on. Safe to call again."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _bounce(self, nbytes: int) -> Bytes:
        """Whole pages of this thread's own."""
        pages: Bytes | None = getattr(self._local, "pages", None)
        if pages is None or len(pages) < nbytes:
            pages = self._local.pages = np.frombuffer(mmap(-1, nbytes), np.uint8)
        return pages[:nbytes]


def _open_direct(path: Path) -> int:
    """A descriptor for direct reads, -1 where there are none; some file systems refuse at the first read."""
    flag = getattr(os, "O_DIRECT", 0)
    if not flag:
        return -1
    try:
        fd = os.open(path, os.O_RDONLY | flag)
    except OSError as error:
        if error.errno == errno.EINVAL:
            return -1
        raise
    try:
        os.preadv(fd, [mmap(-1, PAGE)], 0)
    except OSError as error:
        os.close(fd)
        if error.errno == errno.EINVAL:
            return -1
        raise
    return fd


def _read_all(fd: int, target: Bytes, offset: int) -> None:
    done = 0
    while done < len(target):
        count = os.preadv(fd, [target[done:].data], offset + done)
        if count == 0:
            raise OSError(errno.EIO, f"the file ends at byte {offset + done}, within a blob")
        done += count


def _advise(fd: int, offset: int, length: int, advice: str) -> None:
    """A hint; systems that know no such hint do without."""
    with suppress(AttributeError, OSError):
        os.posix_fadvise(fd, offset, length, getattr(os, advice))

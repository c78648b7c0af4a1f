"""The call of the driver, on a library in its place: what it is given, and what it may answer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hobbit_devices.cuda_driver import CudaDriver
from hobbit_devices.host_kernels.compiler import Compiler

SOURCE = """
#include <stddef.h>
#include <string.h>

int cuMemcpyHtoDAsync_v2(unsigned long long target, const void *source, size_t n, void *stream) {
    if (stream) return (int)(size_t)stream;  /* the stream says what is to be answered */
    memcpy((void *)target, source, n);
    return 0;
}

int cuStreamWaitValue32_v2(void *stream, unsigned long long address, unsigned value, unsigned flags) {
    if (stream) return (int)(size_t)stream;
    return flags == 0 && *(int *)address == (int)value ? 0 : 1;
}

int cuGetErrorName(int code, const char **name) {
    *name = code == 700 ? "CUDA_ERROR_ILLEGAL_ADDRESS" : NULL;
    return *name ? 0 : 1;
}
"""


def built(compiler: Compiler, folder: Path, source: str) -> str:
    written, library = folder / "driver.c", folder / "driver.so"
    written.write_text(source, encoding="utf-8")
    compiler.compile([written], library)
    return str(library)


@pytest.fixture(scope="module")
def driver(compiler: Compiler, tmp_path_factory: pytest.TempPathFactory) -> CudaDriver:
    found = CudaDriver.find(built(compiler, tmp_path_factory.mktemp("driver"), SOURCE))
    assert found is not None
    return found


def test_it_copies_from_address_to_address(driver: CudaDriver) -> None:
    source = torch.arange(2**16, dtype=torch.int32).view(torch.uint8)
    target = torch.zeros_like(source)
    assert driver.copy(target[64:].data_ptr(), source.data_ptr(), 4096, 0)
    assert torch.equal(target[64 : 64 + 4096], source[:4096])
    assert not target[:64].any() and not target[64 + 4096 :].any()


def test_a_thread_without_a_context_is_told(driver: CudaDriver) -> None:
    assert not driver.copy(0, 0, 4096, 201)


@pytest.mark.parametrize(("code", "name"), [(700, "CUDA_ERROR_ILLEGAL_ADDRESS"), (9999, "CUDA error 9999")])
def test_what_it_refuses_has_a_name(driver: CudaDriver, code: int, name: str) -> None:
    with pytest.raises(RuntimeError, match=f"copying 4096 bytes to the GPU failed: {name}"):
        driver.copy(0, 0, 4096, code)


def test_it_waits_for_a_number(driver: CudaDriver) -> None:
    numbers = torch.tensor([3, 4], dtype=torch.int32)
    driver.wait(0, numbers[1:].data_ptr(), 4)
    with pytest.raises(RuntimeError, match="waiting for a number in host memory failed: CUDA_ERROR_ILL"):
        driver.wait(700, numbers.data_ptr(), 3)


def test_there_may_be_none(compiler: Compiler, tmp_path: Path) -> None:
    assert CudaDriver.find(str(tmp_path / "absent.so")) is None
    other = built(compiler, tmp_path, "int cuMemcpyHtoDAsync_v2(void) { return 0; }")
    assert CudaDriver.find(other) is None, "it cannot say what went wrong"

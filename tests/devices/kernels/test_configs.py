"""Which blocks a product takes: by format, tokens of the batch and shared memory, never by a call."""

from __future__ import annotations

import pytest
import torch
from hobbit_devices.kernels.configs import SMALL, Blocks, grouped_plan, single_plan
from hobbit_devices.kernels.support import shared_memory

from tests.devices.kernels.slots import FORMATS, ON_GPU, Experts

H100, A100 = 227 * 1024, 163 * 1024
ITEM = {"native": 2, "lossless12": 1.5, "int8": 1, "int4": 1, "int2": 1}


@pytest.mark.parametrize("shared", [SMALL, A100, H100])
@pytest.mark.parametrize("precision", FORMATS)
def test_every_plan_fits_into_the_shared_memory_of_the_device(precision: str, shared: int) -> None:
    format = Experts(precision).plain.format
    for tokens in (2, 16, 64, 500, 512, 513, 4096):
        for blocks in (plan := grouped_plan(format, tokens, shared)).up, plan.down:
            weights = blocks.n * blocks.k * ITEM[precision] * (1 if format.up.planes > 1 else 2)
            assert blocks.stages * (weights + blocks.m * blocks.k * 2) <= shared


def test_native_weights_take_wide_blocks_from_512_tokens_on_where_they_fit() -> None:
    format = Experts("native").plain.format
    wide, narrow = Blocks(128, 64, 8, 128, 3), Blocks(64, 64, 4, 64, 3)
    assert grouped_plan(format, 512, A100).up == grouped_plan(format, 9000, H100).down == wide
    assert grouped_plan(format, 511, H100).up == grouped_plan(format, 512, SMALL).up == narrow
    assert grouped_plan(Experts("native", "float32").plain.format, 512, H100).up.n == 64


def test_weights_of_12_bits_take_blocks_of_many_tokens_where_there_are_many() -> None:
    format = Experts("lossless12").plain.format
    assert [grouped_plan(format, tokens, SMALL).up.m for tokens in (512, 513)] == [64, 128]


@pytest.mark.parametrize("columns", [768, 2048, 4096])
def test_short_rows_of_12_bits_are_read_in_one_or_two_steps(columns: int) -> None:
    plan = single_plan(Experts("lossless12", hidden=columns, ffn=columns).plain.format)
    assert (plan.up.k, plan.up.stages) == ((1024, 1) if columns < 4096 else (512, 3))
    assert plan.up == plan.down


@pytest.mark.parametrize("precision", ["int4", "int2"])
def test_packed_weights_take_blocks_of_few_tokens(precision: str) -> None:
    format = Experts(precision).plain.format
    for tokens in (512, 2048):
        assert grouped_plan(format, tokens, H100).up.m == 64


@pytest.mark.skipif(ON_GPU, reason="needs a machine without a GPU")
def test_without_a_gpu_the_least_is_assumed() -> None:
    assert shared_memory(torch.device("cpu")) == SMALL


@pytest.mark.gpu
@pytest.mark.skipif(not ON_GPU, reason="needs a GPU")
def test_a_gpu_says_what_it_has() -> None:
    assert shared_memory(torch.device("cuda")) >= SMALL

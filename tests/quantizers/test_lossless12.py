"""bfloat16 in 12 bits: exactly what was there, or a refusal."""

from __future__ import annotations

import pytest
import torch
from hobbit_quantizers.none import NoQuantizer
from hypothesis import given, settings
from hypothesis import strategies as st

from hobbit.api import Context, Geometry, Quantizer, Records, TensorSpec
from hobbit.errors import ConfigError

EXPONENTS = st.integers(0, 254)


def quantizer(**options: int) -> Quantizer:
    geometry = Geometry(layers=1, experts=2, hidden=64, ffn=64)
    return NoQuantizer(**options).build(Context(geometry, ("lossless12",), (), Records(geometry.shape)))


def there_and_back(weights: torch.Tensor, **options: int) -> torch.Tensor:
    """`weights` [rows, columns] out of a blob."""
    codec, tensors = quantizer(**options), {"gate_up_proj": weights}
    blob = codec.encode(tensors, "lossless12")
    return codec.decode(blob, codec.layout(spec(weights), "lossless12"))["gate_up_proj"]


def spec(weights: torch.Tensor) -> dict[str, TensorSpec]:
    return {"gate_up_proj": TensorSpec(tuple(weights.shape), str(weights.dtype).removeprefix("torch."))}


def of_bits(bits: torch.Tensor) -> torch.Tensor:
    return bits.short().view(torch.bfloat16)


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Bit for bit: -0 is not 0."""
    return torch.equal(one.view(torch.int16), other.view(torch.int16))


def normal(rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(rows, columns, generator=generator) * 0.02).bfloat16()


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(2, 9),
    words=st.integers(1, 12),
    lowest=st.integers(0, 240),
    astray=st.lists(st.tuples(st.integers(0, 10**6), EXPONENTS, st.integers(0, 255)), max_size=8),
    seed=st.integers(0, 99),
)
def test_weights_of_any_bits_come_back(
    rows: int, words: int, lowest: int, astray: list[tuple[int, int, int]], seed: int
) -> None:
    """Any mantissas and signs, 15 exponents from `lowest` on, and a few weights of any exponent at all."""
    generator = torch.Generator().manual_seed(seed)
    shape = rows, 8 * words
    mantissas, signs, exponents = (
        torch.randint(0, most, shape, generator=generator) for most in (128, 2, min(15, 255 - lowest))
    )
    bits = signs << 15 | exponents + lowest << 7 | mantissas
    smaller = [(place, exponent, other) for place, exponent, other in astray if exponent <= lowest]
    for place, exponent, other in smaller:
        bits.view(-1)[place % bits.numel()] = (other & 1) << 15 | exponent << 7 | other >> 1
    weights = of_bits(bits)
    if int((bits >> 7 & 0xFF).max()) >= 16:  # rows of nothing but subnormal numbers have too many strays
        assert same(there_and_back(weights), weights)


def test_zeros_keep_their_sign() -> None:
    weights = torch.zeros(3, 16, dtype=torch.bfloat16)
    weights[1] = -0.0
    weights[2, 5:9] = torch.tensor([1.0, -0.0, 0.0, -1.0])
    assert same(there_and_back(weights), weights)


def test_a_blob_takes_three_quarters() -> None:
    codec = quantizer()
    sizes = [codec.layout(spec(normal(512, 1024)), name).nbytes for name in ("lossless12", "native")]
    assert sizes[0] < 0.76 * sizes[1]


def test_weights_that_spread_too_far_are_refused_with_what_would_be_room() -> None:
    weights = normal(128, 256)
    weights[:, 0] = 200.0
    with pytest.raises(ConfigError, match=r"room for 64 weights .* quantizer.strays=\d+, or use") as refused:
        quantizer().encode({"gate_up_proj": weights}, "lossless12")
    enough = int(str(refused.value).partition("strays=")[2].partition(",")[0])
    assert same(there_and_back(weights, strays=enough), weights)


@pytest.mark.parametrize("strays", [0, -3])
def test_room_for_no_number_of_strays_is_refused(strays: int) -> None:
    with pytest.raises(ConfigError, match=f"quantizer.strays={strays} is no number of weights"):
        quantizer(strays=strays)


@pytest.mark.parametrize("wrong", [torch.inf, -torch.inf, torch.nan])
def test_infinite_weights_are_refused(wrong: float) -> None:
    weights = normal(4, 16)
    weights[2, 3] = wrong
    with pytest.raises(ConfigError, match="finite weights"):
        quantizer().encode({"gate_up_proj": weights}, "lossless12")


@pytest.mark.parametrize(
    ("weights", "reason"),
    [(normal(4, 16).float(), "not float32"), (normal(4, 16).half(), "not float16"), (normal(4, 12), "12 of")],
    ids=["float32", "float16", "columns"],
)
def test_other_tensors_are_refused(weights: torch.Tensor, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        quantizer().layout(spec(weights), "lossless12")

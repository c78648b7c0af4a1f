"""Generation: the text, its tokens and their times, and the prompts that cannot be run."""

from __future__ import annotations

import pytest
from hobbit_devices.sim import SimDevice

from hobbit.engine.generation import GenerationOptions, generate
from hobbit.errors import ConfigError
from tests.engine.models import tiny_model
from tests.engine.runs import Policy, running
from tests.engine.texts import letters

MODEL = tiny_model()
LETTERS = letters()


def test_text_tokens_and_times_agree() -> None:
    heard: list[str] = []
    ticks = iter(range(0, 10**6, 10))
    result = generate(MODEL, LETTERS, "abc", GenerationOptions(5), lambda: next(ticks), heard.append)
    assert len(result.prompt_ids) == 3
    assert len(result.token_ids) == 5
    assert result.text == LETTERS.decode(result.token_ids, skip_special_tokens=True)
    assert "".join(heard) == result.text
    assert (result.prefill_ns, result.token_ns) == (10, [10] * 4)
    assert result.tokens_per_second == pytest.approx(1e8)


def test_sampling_follows_the_seed() -> None:
    texts = [
        generate(MODEL, LETTERS, "abc", GenerationOptions(12, sample=True, seed=seed)).text
        for seed in (1, 1, 2)
    ]
    assert texts[0] == texts[1] != texts[2]


def test_a_stop_text_ends_it() -> None:
    whole = generate(MODEL, LETTERS, "abc", GenerationOptions(8)).text
    stop = whole[2]
    short = generate(MODEL, LETTERS, "abc", GenerationOptions(8, stop=(stop,))).text
    assert short == whole[: whole.index(stop) + 1]


def test_times_come_from_the_devices_clock() -> None:
    with running(tiny_model(), Policy(device=SimDevice()), 8) as run:
        clock = run.assembly.runtime.device
        times = [
            generate(run.model, LETTERS, "abcdef", GenerationOptions(4), lambda: clock.report().now_ns)
            for _ in range(2)
        ]
    assert times[0].prefill_ns > max(times[0].token_ns) > 0
    # A layer costs its overhead at least: 4 layers of 500 us.
    assert min(times[1].token_ns) >= 4 * 500_000


@pytest.mark.parametrize(
    ("prompt", "tokens", "reason"),
    [
        ("", 5, "0 tokens"),
        ("a" * 600, 5, "context of 512"),
        ("a" * 510, 5, "context of 512"),
        ("a", 0, "at least 1"),
    ],
)
def test_prompts_that_cannot_be_run(prompt: str, tokens: int, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as caught:
        generate(MODEL, LETTERS, prompt, GenerationOptions(tokens))
    assert "\n" not in str(caught.value)

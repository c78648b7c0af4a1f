"""The pairs of a layer: each is taken once, and its row is where its output lies."""

from __future__ import annotations

import numpy as np
from hobbit_devices.layer_pairs import LayerPairs
from hypothesis import given
from hypothesis import strategies as st


@given(st.integers(1, 9), st.integers(1, 4), st.integers(0, 10**6), st.data())
def test_batches_cover_what_is_taken_and_rows_find_it(
    tokens: int, top_k: int, seed: int, data: st.DataObject
) -> None:
    random = np.random.default_rng(seed)
    experts = np.stack([random.permutation(7)[:top_k] for _ in range(tokens)]).astype(np.int64)
    experts[random.random(experts.shape) < 0.2] = -1
    pairs = LayerPairs(experts)
    chosen = [int(e) for e in np.unique(experts) if e >= 0]
    order = data.draw(st.permutations(chosen))
    cut = data.draw(st.integers(0, len(order)))
    left_out = order[:1] if data.draw(st.booleans()) else []
    held: dict[int, tuple[int, int]] = {}  # row: expert and token
    for part in (order[len(left_out) : cut], order[max(cut, len(left_out)) :]):
        if not part:
            continue
        batch = pairs.take(part)
        assert batch.row == len(held) and batch.bounds[-1] == len(batch.tokens)
        for place, expert in enumerate(part):
            for at in range(batch.bounds[place], batch.bounds[place + 1]):
                held[batch.row + at] = expert, int(batch.tokens[at])
    rows = np.asarray(pairs.rows()).reshape(tokens, top_k)
    assert np.array_equal(np.asarray(pairs.choices()).reshape(tokens, top_k), experts)
    for (token, k), expert in np.ndenumerate(experts):
        taken = expert >= 0 and expert not in left_out
        assert (held.get(int(rows[token, k])) == (expert, token)) is bool(taken)
    assert pairs.complete is bool((rows >= 0).all())
    assert pairs.served == len(chosen) - len(left_out)

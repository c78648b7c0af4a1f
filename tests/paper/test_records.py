"""Use records of a sequence, and of the model: what is forgotten when a sequence begins."""

from __future__ import annotations

import pytest

from hobbit.api import Records, RecordScope, RoutingShape


@pytest.mark.parametrize(
    ("scope", "uses", "token"), [(RecordScope.sequence, 0, 1), (RecordScope.model, 4, 6)]
)
def test_records_span_their_scope(scope: RecordScope, uses: int, token: int) -> None:
    records = Records(RoutingShape(layers=2, experts=2, top_k=1), scope)
    records.begin_sequence()
    records.begin_pass(5)
    records.use(3, 4, 0)
    records.begin_sequence()
    records.begin_pass(1)
    assert (records.uses[3], records.high_uses[3], records.token) == (uses, uses, token)
    assert records.last_tick[3] == 1

"""Use records of a sequence, and of the model: what is forgotten when a sequence begins."""

from __future__ import annotations

import pytest

from hobbit.api import HIGH, LOW, ExpertKey, Records, RecordScope, RoutingShape


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


def test_several_uses_count_as_one_after_the_other() -> None:
    shape = RoutingShape(layers=2, experts=4, top_k=2)
    one, several = Records(shape), Records(shape)
    served = {ExpertKey(1, 2, HIGH): 3, ExpertKey(1, 0, LOW): 1, ExpertKey(1, 3, HIGH): 0}
    for records in (one, several):
        records.begin_pass(4)
    one.use(6, 3, HIGH)
    one.use(4, 1, LOW)
    several.use_all(served)
    for name in ("last_tick", "last_token", "uses", "high_uses", "low_uses"):
        assert getattr(one, name).tolist() == getattr(several, name).tolist()
    assert several.recent == one.recent == [6, 4]
    assert several.tick == 2

"""What is remembered of lost requests: as long as it matters, and no longer."""

from __future__ import annotations

from aioe2e.images.write_order import LateWrites
from aioe2e.models import Action


def test_another_write_waits_for_the_latest_of_several_lost_requests() -> None:
    late = LateWrites()
    late.lost("7", Action.RENAME, "a", at=100.0, lag=10.0)
    late.lost("7", Action.RENAME, "b", at=103.0, lag=10.0)
    assert late.settled_at("7", Action.RENAME, "c", lag=10.0) == 113.0
    assert late.settled_at("7", Action.RENAME, "b", lag=10.0) == 110.0
    assert late.settled_at("7", Action.DELETE, "", lag=10.0) == 0.0
    assert late.settled_at("8", Action.RENAME, "c", lag=10.0) == 0.0


def test_a_rename_waits_for_a_lost_delete() -> None:
    late = LateWrites()
    late.lost("7", Action.DELETE, "", at=100.0, lag=10.0)
    assert late.settled_at("7", Action.RENAME, "c", lag=10.0) == 110.0


def test_what_can_no_longer_take_effect_is_forgotten() -> None:
    late = LateWrites()
    for number in range(1000):
        late.lost(str(number), Action.RENAME, "a", at=float(number), lag=5.0)
    assert len(late._lost) <= 7
    assert late.settled_at("999", Action.RENAME, "b", lag=5.0) == 1004.0


def test_what_a_more_patient_view_may_wait_for_is_kept() -> None:
    late = LateWrites()
    late.lost("1", Action.RENAME, "a", at=0.0, lag=100.0)
    for number in range(2, 50):
        late.lost(str(number), Action.RENAME, "a", at=float(number), lag=0.0)
    assert late.settled_at("1", Action.RENAME, "b", lag=100.0) == 100.0

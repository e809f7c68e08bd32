from __future__ import annotations

import random
import time

from bulk_model import Run, Store, images_named, renamings
from hypothesis import given, settings
from hypothesis import strategies as st

from aioe2e.bulk import Plan, Step
from aioe2e.bulk.order import is_runnable, is_temporary
from aioe2e.bulk.plan import remaining_plan
from aioe2e.models import SavedImage


def renaming(old: str, new: str) -> Plan:
    """Images 1, 2, 3, … named by the letters of `old`, to be named by those of `new`; a dot leaves one out."""
    return Plan.rename(
        [(image, name) for image, name in zip(images_named(old), new, strict=True) if name != "."],
        existing=images_named(old),
    )


def test_a_chain_runs_from_its_free_end() -> None:
    plan = renaming("abc", "bcd")
    assert [step.after for step in plan] == [(1,), (2,), ()]
    assert all(step.via is None for step in plan)


def test_a_swap_is_opened_at_its_first_step_through_a_temporary_name() -> None:
    plan = renaming("ab", "ba")
    assert [step.after for step in plan] == [(1,), (0,)]
    assert is_temporary(plan[0].via)
    assert plan[0].via is not None
    assert "-1-" in plan[0].via
    assert plan[0].via.startswith("aioe2e-tmp-")
    assert plan[1].via is None


def test_every_cycle_is_opened_exactly_once() -> None:
    plan = renaming("abcdefghij", "bcadeghfji")
    assert [step.index for step in plan if step.via] == [0, 5, 8]


def test_an_image_that_keeps_its_name_orders_nothing() -> None:
    plan = renaming("ab", "ac")
    assert plan[0].unchanged
    assert not plan[1].unchanged
    assert all(step.after == () for step in plan)


def test_the_order_is_the_same_each_time() -> None:
    assert renaming("abcd", "badc") == renaming("abcd", "badc")


def test_a_temporary_name_avoids_names_in_use() -> None:
    temporary = renaming("ab", "ba")[0].via
    assert temporary is not None
    images = [*images_named("ab"), SavedImage(image_id="9", name=temporary)]
    plan = Plan.rename([(images[0], "b"), (images[1], "a")], existing=images)
    assert is_temporary(plan[0].via)
    assert plan[0].via != temporary


def test_a_name_that_a_delete_frees_is_taken_after_it() -> None:
    first, second = images_named("ab")
    plan = Plan.of([Step.rename(first, "b"), Step.delete(second)])
    assert plan[0].after == (1,)
    assert plan.action is None


def test_a_name_that_two_images_have_is_taken_after_both_have_left_it() -> None:
    twins = [
        SavedImage(image_id="1", name="x"),
        SavedImage(image_id="2", name="x"),
        SavedImage(image_id="3", name="y"),
    ]
    plan = Plan.rename([(twins[0], "y"), (twins[1], "z"), (twins[2], "x")])
    assert plan[2].after == (0, 1)
    assert plan[0].after == (2,)
    assert plan[0].via


def test_thousands_of_steps_are_ordered_in_no_time() -> None:
    names = [f"n{number}" for number in range(5000)]
    images = images_named(names)
    shuffled = names[:]
    random.Random(1).shuffle(shuffled)
    chain = [*names[1:], "free"]
    for wanted in (shuffled, chain, [*names[1:], names[0]]):
        began = time.process_time()
        plan = Plan.rename(list(zip(images, wanted, strict=True)), existing=images)
        assert time.process_time() - began < 1.0  # about 0.05 on a calm machine
        assert is_runnable(plan)


def test_steps_that_wait_for_each_other_for_ever_are_not_runnable() -> None:
    first, second = renaming("ab", "ba")
    closed = [Step(first.action, first.target, first.name, index=0, after=(1,)), second]
    assert is_runnable([first, second])
    assert not is_runnable(closed)
    assert not is_runnable([second])


@given(renamings(), st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_any_renaming_reaches_its_end_without_a_collision(
    case: tuple[list[SavedImage], list[tuple[SavedImage, str]]], dice: random.Random
) -> None:
    images, pairs = case
    store = Store(images)
    plan = Plan.rename(pairs, existing=images)
    fates = Run(store, dice, faults=0)(plan)
    assert all(fate.settled for fate in fates.values())
    assert len(fates) == len(plan)
    assert store.names == {image.image_id: image.name for image in images} | {
        image.image_id: name for image, name in pairs
    }
    assert not remaining_plan(plan, fates)


@given(renamings(), st.randoms(use_true_random=False))
@settings(max_examples=600, deadline=None)
def test_what_is_left_of_any_run_finishes_it_without_a_collision(
    case: tuple[list[SavedImage], list[tuple[SavedImage, str]]], dice: random.Random
) -> None:
    images, pairs = case
    store = Store(images)
    whole = plan = Plan.rename(pairs, existing=images)
    refused: set[int | None] = set()
    warnings: list[str] = []
    for faults in (0.5, 0.4, 0.3, 0.0):
        fates = Run(store, dice, faults=faults)(plan)
        rest = remaining_plan(plan, fates)
        assert is_runnable(rest)
        assert Plan.from_dict(rest.to_dict()) == rest
        left = {step.index for step in rest}
        done = {index for index, fate in fates.items() if fate.settled}
        refused |= {step.index for step in plan} - left - done
        assert left.isdisjoint(done)
        for index in {step.index for step in plan} - left - done:
            assert any(warning.startswith(f"step {index} ") for warning in rest.warnings)
        warnings += rest.warnings
        plan = rest
    assert not plan
    for image, name in store.names.items():
        assert not is_temporary(name) or any(f"image {image} " in warning for warning in warnings)
    for step in whole:
        name = store.names[step.target]
        if step.index not in refused:
            assert name == step.name
        assert name == step.name or name == step.previous or is_temporary(name)
    if not refused:
        assert not any(is_temporary(name) for name in store.names.values())

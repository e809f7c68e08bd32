from __future__ import annotations

import copy
import json
import pickle
import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import attrs
import pytest
from bulk_model import Run, Store, images_named, renamings
from hypothesis import given
from hypothesis import strategies as st

from aioe2e import select
from aioe2e.bulk import Plan, Status, Step
from aioe2e.bulk.inputs import is_planned, steps_of
from aioe2e.bulk.plan import remaining_plan
from aioe2e.bulk.step import StepRecord
from aioe2e.errors import UsageError
from aioe2e.models import Action, SavedImage

A, B, C = images_named("abc")
BUSY = SavedImage(image_id="9", name="busy", running_vms=2, cloning_ops=1)

EVERY_KIND = [
    Plan.rename([(A, "b"), (B, "a"), (C, "new name")], existing=[A, B, C, BUSY]),
    Plan.rename({"1": "x", 2: "y"}),
    Plan.delete([A, "2", 2], existing=[A]),
    Plan.save({"11": "n1", 12: "n2"}),
    Plan.of([Step.delete(A), Step.rename(B, "a"), Step.save(5, "s")]),
    Plan.rename({}),
    remaining_plan(Plan.save({"11": "n1", "12": "n2"}), {0: StepRecord(Status.UNKNOWN)}),
    remaining_plan(Plan.rename([(A, "b"), (B, "a")]), {0: StepRecord(Status.UNKNOWN, True, True)}),
]


def problems(make: Callable[[], object]) -> tuple[str, ...]:
    with pytest.raises(UsageError) as caught:
        make()
    return caught.value.problems


def test_steps_are_made_of_images_text_and_numbers() -> None:
    assert Step.rename(2292, "a") == Step(Action.RENAME, "2292", "a")
    assert Step.delete(A) == Step(Action.DELETE, "1", previous="a")
    assert Step.save(7, "n") == Step(Action.SAVE, "7", "n")
    assert Step("rename", "1", "x").action is Action.RENAME  # type: ignore[arg-type]  # callers without types


@pytest.mark.parametrize(
    "make",
    [
        lambda: Step.rename("1", ""),
        lambda: Step.rename("a/b", "x"),
        lambda: Step.save(A, "x"),  # type: ignore[arg-type]  # what is refused
        lambda: Step.delete(True),
        lambda: Step(Action.DELETE, "1", "x"),
        lambda: Step(Action.RENAME, "1"),
        lambda: Step(Action.DELETE, "1", via="x"),
        lambda: Step("explode", "1"),  # type: ignore[arg-type]  # what is refused
    ],
)
def test_a_step_that_cannot_be_sent_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(UsageError):
        make()


def test_a_step_is_frozen_and_reads_like_a_sentence() -> None:
    step = Step.rename("1", "a")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        step.name = "b"  # type: ignore[misc]  # what is refused
    assert [str(s) for s in (step, Step.delete(2), Step.save(3, "n"))] == [
        "rename 1 to 'a'", "delete 2", "save node 3 as 'n'",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "images", [{"1": "x", 2: "y"}, [("1", "x"), [2, "y"]], iter([("1", "x"), ("2", "y")])]
)
def test_a_rename_takes_mappings_and_pairs(images: Any) -> None:
    assert [(s.index, s.target, s.name) for s in Plan.rename(images)] == [
        (0, "1", "x"),
        (1, "2", "y"),
    ]


def test_to_makes_the_new_names() -> None:
    mixed: list[Any] = [A, "2"]
    nodes: list[Any] = [11, "12"]
    plan = Plan.rename(mixed, to=lambda image: f"old-{image.name}", existing=[B])
    assert [step.name for step in plan] == ["old-a", "old-b"]
    assert [step.name for step in Plan.save(nodes, to=lambda node: f"nightly-{node}")] == [
        "nightly-11",
        "nightly-12",
    ]
    assert (
        "needs a SavedImage" in problems(lambda: Plan.rename(["2"], to=lambda image: image.name))[0]
    )
    assert (
        "to: a mapping" in problems(lambda: Plan.rename({"1": "a"}, to=lambda image: image.name))[0]
    )


def test_a_set_a_generator_and_dictionary_views_can_be_planned() -> None:
    assert (
        len(Plan.delete({"1", "2"}))
        == len(Plan.delete(str(n) for n in (1, 2)))
        == len(Plan.delete({"1": 0, "2": 0}.keys()))
    )


@pytest.mark.parametrize("source", ["2292", b"2292", 7, None, A, {"1": "a"}, Step.delete("1")])
def test_what_is_no_collection_of_images_is_refused(source: Any) -> None:
    with pytest.raises(UsageError, match="a collection of images is needed"):
        Plan.delete(source)


def test_an_async_iterable_cannot_be_planned() -> None:
    async def images() -> AsyncIterator[str]:
        yield "1"

    with pytest.raises(UsageError, match=r"Images\.stream"):
        Plan.delete(images())  # type: ignore[arg-type]  # what is refused


def test_all_problems_are_told_at_once_each_with_its_step_or_place() -> None:
    pairs: list[Any] = [
        ("1", "a"),
        ("a/b", "c"),
        "xy",
        ("2", " d"),
        ("1", "e"),
        ("3", "a"),
        ("4", "ok"),
    ]
    found = problems(lambda: Plan.rename(pairs))
    assert [text.split(":")[0] for text in found] == [
        "item 2",
        "item 3",
        "item 4",
        "rename 1 to 'e'",
        "rename 3 to 'a'",
    ]
    for text, part in zip(
        found,
        [
            "'a/b' is not an id",
            "a pair",
            "white space",
            "the image already has another step (rename 1 to 'a')",
            "another step already takes this name (rename 1 to 'a')",
        ],
        strict=True,
    ):
        assert part in text


def test_the_text_of_many_problems_stays_readable() -> None:
    with pytest.raises(UsageError, match="1000 problems in this plan") as caught:
        Plan.delete(["no id"] * 1000)
    assert len(caught.value.problems) == 1000
    assert len(str(caught.value)) < 2000
    assert str(caught.value).count("is not an id") == 1  # the same problem is told once
    assert "item 1, item 2, item 3 and 997 more: " in str(caught.value)
    assert pickle.loads(pickle.dumps(caught.value)).problems == caught.value.problems


def test_steps_with_the_same_problem_share_a_sentence_and_problems_has_each() -> None:
    with pytest.raises(UsageError) as caught:
        Plan.save(dict.fromkeys(range(1, 21), "n"))
    assert str(caught.value) == (
        "19 problems in this plan: save node 2 as 'n', save node 3 as 'n', save node 4 as 'n'"
        " and 16 more: another step already takes this name (save node 1 as 'n')"
    )
    assert len(caught.value.problems) == 19
    assert caught.value.problems[-1] == (
        "save node 20 as 'n': another step already takes this name (save node 1 as 'n')"
    )


def test_different_problems_beyond_the_tenth_are_counted_in_items() -> None:
    pairs = [(f"{number}!", "n") for number in range(12)] + [("x!", "n")] * 3
    with pytest.raises(UsageError, match=r"15 problems in this plan: item 1: .* and 5 more \("):
        Plan.rename(pairs)


def test_the_same_input_twice_is_joined_with_a_warning() -> None:
    plan = Plan.delete(["1", 1, "2", A])
    assert [(step.index, step.target) for step in plan] == [(0, "1"), (2, "2")]
    assert [warning.split(":")[0] for warning in plan.warnings] == ["delete 1", "delete 1"]
    again = Plan.rename([("1", "x"), ("1", "x")])
    assert len(again) == 1
    assert "done once" in again.warnings[0]


def test_two_nodes_cannot_be_saved_under_one_name() -> None:
    assert problems(lambda: Plan.save({"1": "n", "2": "n"})) == (
        "save node 2 as 'n': another step already takes this name (save node 1 as 'n')",
    )


def test_a_node_and_an_image_may_share_an_id() -> None:
    assert len(Plan.of([Step.save("1", "n"), Step.rename("1", "m")])) == 2


def test_images_in_use_are_deleted_only_by_force() -> None:
    fault = problems(lambda: Plan.delete([A, BUSY]))
    assert len(fault) == 1
    assert fault[0].startswith("delete 9: the image is in use: ")
    assert "2 running VMs, 1 clone operation" in fault[0]
    assert problems(lambda: Plan.delete(["9"], existing=[BUSY]))
    assert "force=True" in fault[0]
    plan = Plan.delete([A, BUSY], force=True)
    assert len(plan) == 2
    assert any("in use" in warning for warning in plan.warnings)


def test_a_fresh_listing_is_believed_over_an_image_read_before() -> None:
    free = attrs.evolve(BUSY, running_vms=0, cloning_ops=0, name="free")
    assert len(Plan.delete([BUSY], existing=[free])) == 1
    plan = Plan.rename([(BUSY, "x")], existing=[free])
    assert plan[0].previous == "free"
    assert "was 'busy'" in plan.warnings[0]


def test_warnings_name_what_looks_wrong() -> None:
    pairs: list[Any] = [("1", "c"), ("8", "x y"), (B, "z")]
    plan = Plan.rename(pairs, existing=[A, B, C])
    assert [warning.split(":")[0] for warning in plan.warnings] == [
        "rename 8 to 'x y'",
        "rename 8 to 'x y'",
        "rename 1 to 'c'",
        "not ordered, since the current name is not known",
    ]
    for warning, part in zip(
        plan.warnings,
        [
            "not in the listing",
            "has a space",
            "is that of image 3",
            ": 8; to order them, pass existing=",
        ],
        strict=True,
    ):
        assert part in warning


def test_items_without_a_step_are_counted_from_one_everywhere() -> None:
    with pytest.raises(UsageError, match="existing: item 2 must be a SavedImage"):
        Plan.delete(["1"], existing=[A, "2"])  # type: ignore[list-item]  # on purpose
    with pytest.raises(UsageError, match="images: item 2 must be a SavedImage"):
        select.newest(1, [A, "2"])  # type: ignore[list-item]  # on purpose
    with pytest.raises(UsageError, match="item 1: image: 'a/b' is not an id"):
        next(steps_of(Action.DELETE, iter(["a/b"])))


def test_a_good_plan_has_no_warnings() -> None:
    assert Plan.rename([(A, "b"), (B, "c"), (C, "c2")], existing=[A, B, C]).warnings == ()
    assert Plan.delete([A, B]).warnings == Plan.save({"1": "n"}).warnings == ()


def test_a_save_warns_of_a_name_that_is_taken() -> None:
    assert "is that of image 1" in Plan.save({"1": "a"}, existing=[A]).warnings[0]


@pytest.mark.parametrize("existing", ["ab", 7, [A, "2"], {"1": A}])
def test_a_listing_holds_images(existing: Any) -> None:
    with pytest.raises(UsageError, match="existing: "):
        Plan.delete(["1"], existing=existing)


def test_an_image_that_has_the_name_already_stays_in_the_plan_as_unchanged() -> None:
    pairs: list[Any] = [(A, "a"), (B, "x"), ("3", "c")]
    plan = Plan.rename(pairs, existing=[C])
    assert [step.unchanged for step in plan] == [True, False, True]
    assert "unchanged" in str(plan)


def test_a_plan_is_a_frozen_sequence() -> None:
    plan = EVERY_KIND[0]
    assert len(plan) == 3
    assert plan[0] in plan
    assert plan[-1] is plan.steps[2]
    assert list(plan[1:]) == list(plan)[1:]
    assert plan.index(plan[1]) == 1
    assert [s.index for s in reversed(plan)] == [2, 1, 0]
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        plan.steps = ()  # type: ignore[misc]  # what is refused
    assert plan == EVERY_KIND[0]
    assert hash(plan) == hash(copy.deepcopy(plan))
    assert plan != EVERY_KIND[1]
    assert [p.action for p in EVERY_KIND[:6]] == ["rename", "rename", "delete", "save", None, None]


@pytest.mark.parametrize("plan", EVERY_KIND)
def test_a_plan_comes_back_equal_through_json_and_pickle(plan: Plan) -> None:
    back = Plan.from_dict(json.loads(json.dumps(plan.to_dict())))
    assert back == plan
    assert back.digest == plan.digest
    assert back.resumed == plan.resumed
    assert pickle.loads(pickle.dumps(plan)) == plan == copy.copy(plan)


@given(renamings())
def test_any_renaming_comes_back_equal_through_json(
    case: tuple[list[SavedImage], list[tuple[SavedImage, str]]],
) -> None:
    plan = Plan.rename(case[1], existing=case[0])
    assert Plan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan


def test_the_digest_tells_plans_apart() -> None:
    digests = {plan.digest for plan in EVERY_KIND[:6]}
    assert len(digests) == 6
    assert all(len(digest) == 64 for digest in digests)
    assert Plan.save({"1": "a"}).digest == Plan.save([("1", "a")]).digest


def damaged(**changes: Any) -> dict[str, Any]:
    return EVERY_KIND[0].to_dict() | changes


STEP = {"action": "rename", "target": "1", "name": "x", "index": 0}


@pytest.mark.parametrize(
    "data",
    [
        None, [], {}, "plan",
        damaged(version=2), damaged(version=None), damaged(digest=None), damaged(digest="0" * 64),
        damaged(resumed="no"), damaged(warnings=[1]), damaged(warnings=None), damaged(steps=None), damaged(unknown={}),
        damaged(steps=[]), damaged(steps=[7]), damaged(steps=[STEP]),
        damaged(resumed=True, steps=[STEP, STEP]),
        damaged(resumed=True, steps=[STEP | {"index": None}]),
        damaged(resumed=True, steps=[{"action": "rename", "target": "1", "name": "x"}]),
        damaged(resumed=True, steps=[STEP | {"index": True}]),
        damaged(resumed=True, steps=[STEP | {"after": [5]}]),
        damaged(resumed=True, steps=[STEP | {"after": [0]}]),
        damaged(resumed=True, steps=[STEP | {"after": "0"}]),
        damaged(resumed=True, steps=[STEP | {"open": 1}]),
        damaged(resumed=True, steps=[STEP | {"via": ""}]),
        damaged(resumed=True, steps=[STEP | {"name": "a\0"}]),
        damaged(resumed=True, steps=[STEP | {"target": "../x"}]),
        damaged(resumed=True, steps=[STEP | {"action": []}]),
        damaged(resumed=True, steps=[STEP | {"extra": 1}]),
    ],
)  # fmt: skip
def test_a_damaged_plan_is_not_read(data: Any) -> None:
    with pytest.raises(UsageError):
        Plan.from_dict(data)


def test_a_plan_is_made_by_its_own_words() -> None:
    with pytest.raises(UsageError, match=r"Plan\.of"):
        Plan([Step.delete("1")])
    with pytest.raises(UsageError, match="a plan has Steps"):
        Plan(["1"])  # type: ignore[list-item]  # what is refused


def test_a_plan_of_steps_is_numbered_and_ordered_anew() -> None:
    swap = Plan.rename([(C, "d"), (A, "b"), (B, "a")])
    plan = Plan.of(swap[1:])
    assert [(s.index, s.after, bool(s.via)) for s in plan] == [(0, (1,), True), (1, (0,), False)]
    assert "a Step is needed" in problems(lambda: Plan.of(["1"]))[0]  # type: ignore[list-item]  # what is refused


def test_a_printed_plan_shows_every_step_and_every_warning() -> None:
    text = str(EVERY_KIND[0])
    assert text.splitlines()[0] == "Plan: 3 renames"
    assert "through aioe2e-tmp-1-" in text
    assert "after 0" in text
    assert "new name" in text
    assert "Warnings:" in text
    assert "never sent again" in str(EVERY_KIND[6])
    assert "may have been applied already" in str(EVERY_KIND[7])
    assert str(EVERY_KIND[5]) == "Plan: nothing to do"
    assert repr(EVERY_KIND[4]) == "<Plan: 1 delete, 1 rename, 1 save>"
    assert repr(EVERY_KIND[6]) == "<Plan: 1 save, 1 unknown, 1 warning>"


def test_a_printed_plan_cannot_play_with_the_terminal() -> None:
    nasty = SavedImage(image_id="1", name="x\x1b[2J\nfake")
    text = str(Plan.delete([nasty]))
    assert "\x1b" not in text
    assert len(text.splitlines()) == 3


def test_a_left_over_keeps_numbers_and_digest() -> None:
    plan = Plan.delete(["1", "2", "3", "4", "5"])
    fates = {
        0: StepRecord(Status.DONE),
        1: StepRecord(Status.FAILED, passing=False),
        2: StepRecord(Status.UNKNOWN, passing=True),
        3: StepRecord(Status.FAILED, passing=True),
    }
    rest = remaining_plan(plan, fates)
    assert [(step.index, step.open) for step in rest] == [(2, True), (3, False), (4, False)]
    assert rest.digest == plan.digest
    assert rest.resumed
    assert not plan.resumed
    assert rest.warnings == ("step 1 (delete 2) is left out: it was refused for good",)
    assert [step.open for step in remaining_plan(rest, {})] == [True, False, False]


def test_what_comes_after_a_refused_step_is_left_out_with_it() -> None:
    plan = Plan.rename([(A, "b"), (B, "c"), (C, "d")])
    rest = remaining_plan(plan, {2: StepRecord(Status.FAILED)})
    assert not rest
    assert [warning.split(": ")[1] for warning in rest.warnings] == [
        "it comes after step 1", "it comes after step 2", "it was refused for good",
    ]  # fmt: skip


def test_a_swap_refused_half_way_says_which_image_carries_the_temporary_name() -> None:
    plan = Plan.rename([(A, "b"), (B, "a")])
    rest = remaining_plan(
        plan, {0: StepRecord(Status.FAILED, False, True), 1: StepRecord(Status.DONE)}
    )
    assert not rest
    assert any(
        f"image 1 carries the temporary name {plan[0].via!r}" in warning
        for warning in rest.warnings
    )
    blocked = remaining_plan(
        plan, {0: StepRecord(Status.FAILED, False, True), 1: StepRecord(Status.FAILED, True)}
    )
    assert [(s.previous, s.via, s.after) for s in blocked] == [
        (plan[0].via, None, (1,)),
        ("b", None, ()),
    ]
    assert "step 0 of what remains finishes it" in blocked.warnings[0]
    lost = remaining_plan(
        plan, {0: StepRecord(Status.FAILED, False, True), 1: StepRecord(Status.FAILED, False)}
    )
    assert not lost
    assert "rename it to 'b' yourself" in lost.warnings[-1]


def test_an_open_save_is_never_among_the_steps() -> None:
    plan = Plan.save({"1": "a", "2": "b"})
    rest = remaining_plan(plan, {0: StepRecord(Status.UNKNOWN, True)})
    assert [step.index for step in rest] == [1]
    assert [(step.index, step.open) for step in rest.unknown] == [(0, True)]
    assert remaining_plan(rest, {1: StepRecord(Status.DONE)}).unknown == rest.unknown
    assert not remaining_plan(
        rest, {0: StepRecord(Status.DONE), 1: StepRecord(Status.DONE)}
    ).unknown


def test_steps_are_made_one_at_a_time_as_they_are_asked_for() -> None:
    taken: list[int] = []

    def ids() -> Any:
        for number in (5, 6, 7):
            taken.append(number)
            yield number

    steps = steps_of(Action.DELETE, ids())
    assert taken == []
    assert next(steps) == Step(Action.DELETE, "5", index=0)
    assert taken == [5]


async def test_an_async_source_gives_async_steps() -> None:
    async def pairs() -> AsyncIterator[tuple[int, str]]:
        yield 5, "n"
        yield 6, ""

    steps = steps_of(Action.SAVE, pairs())
    assert await anext(steps) == Step(Action.SAVE, "5", "n", index=0)
    with pytest.raises(UsageError, match="item 2: name: it must not be empty"):
        await anext(steps)


def test_streamed_steps_carry_no_order_and_are_numbered_anew() -> None:
    plan = Plan.rename([(C, "d"), (A, "b"), (B, "a")])
    steps = list(steps_of(None, iter(plan[1:])))
    assert [(s.index, s.previous, s.after, s.via) for s in steps] == [
        (0, "a", (), None),
        (1, "b", (), None),
    ]


def test_a_bad_source_is_refused_before_the_first_item_is_asked_for() -> None:
    with pytest.raises(UsageError, match="letter by letter"):
        steps_of(Action.DELETE, "abc")


def test_a_stream_of_deletes_refuses_images_in_use_too() -> None:
    steps = steps_of(Action.DELETE, iter([A, BUSY]))
    assert next(steps).target == "1"
    with pytest.raises(
        UsageError,
        match="delete 9: the image is in use: 2 running VMs, 1 clone operation; pass force=True",
    ):
        next(steps)
    assert len(list(steps_of(Action.DELETE, iter([A, BUSY]), force=True))) == 2


async def test_what_has_a_length_is_planned_and_what_has_none_is_streamed() -> None:
    async def endless() -> AsyncIterator[str]:
        yield "1"

    assert all(map(is_planned, ([], {}, set(), (), EVERY_KIND[0])))
    assert not any(map(is_planned, (iter([]), (number for number in range(1)), endless())))


@given(
    st.lists(
        st.one_of(
            st.integers(), st.text(max_size=3), st.none(), st.tuples(st.integers(1), st.text())
        ),
        max_size=6,
    )
)
def test_no_input_breaks_a_plan_with_anything_but_a_usage_error(items: list[Any]) -> None:
    for make in (Plan.rename, Plan.delete, Plan.save, Plan.of):
        try:
            plan = make(items)
        except UsageError as error:
            assert error.problems  # what is raised is the point
        else:
            assert isinstance(str(plan), str)


def test_a_write_in_doubt_that_is_refused_when_it_is_sent_again_is_left_to_the_listing() -> None:
    once = remaining_plan(Plan.rename([(A, "x"), (B, "a")]), {0: StepRecord(Status.UNKNOWN, True)})
    assert [step.open for step in once] == [True, False]  # another try may find it done
    twice = remaining_plan(once, {0: StepRecord(Status.UNKNOWN, True, refused=True)})
    assert not twice.steps
    assert "is refused when it is sent again" in twice.warnings[0]
    assert "step 1" in twice.warnings[1]
    lost = remaining_plan(once, {0: StepRecord(Status.UNKNOWN, True)})  # no answer at all
    assert len(lost) == 2


def test_two_nodes_may_have_one_name_if_they_are_told_to() -> None:
    pairs = [("11", "n"), ("12", "n"), ("13", "m")]
    with pytest.raises(
        UsageError, match="save node 12 as 'n': another step already takes this name"
    ):
        Plan.save(pairs)
    plan = Plan.save(pairs, same_names=True)
    assert [(step.target, step.name) for step in plan] == pairs
    assert Plan.from_dict(plan.to_dict()) == plan
    with pytest.raises(
        UsageError, match="the node already has another step"
    ):  # but not twice on one node
        Plan.save([("11", "n"), ("11", "m")], same_names=True)
    with pytest.raises(UsageError, match="same_names: True or False"):
        Plan.save(pairs, same_names="yes")  # type: ignore[arg-type]  # on purpose


def test_chunks_keep_indices_and_what_belongs_together() -> None:
    images = images_named([f"n{number}" for number in range(10)])
    ring = [(image, images[(place + 1) % 4].name) for place, image in enumerate(images[:4])]
    plan = Plan.rename([*ring, *((image, f"new-{image.name}") for image in images[4:])])
    chunks = plan.chunks(3)
    assert [len(chunk) for chunk in chunks] == [4, 3, 3]
    assert [step.index for chunk in chunks for step in chunk] == list(range(10))
    assert [step for chunk in chunks for step in chunk] == list(plan)
    assert len({chunk.digest for chunk in chunks} | {plan.digest}) == 4
    assert not any(chunk.resumed for chunk in chunks)
    assert plan.chunks(100)[0].steps == plan.steps
    assert Plan.from_dict(chunks[0].to_dict()) == chunks[0]


def test_chunks_of_what_remains_keep_the_saves_in_doubt() -> None:
    plan = Plan.save({str(node): f"n{node}" for node in range(1, 6)})
    left = remaining_plan(plan, {0: StepRecord(Status.UNKNOWN)})
    first, second = left.chunks(2)
    assert [step.index for step in first] == [1, 2]
    assert [step.index for step in first.unknown] == [0]
    assert not second.unknown
    only = remaining_plan(plan, dict.fromkeys(range(5), StepRecord(Status.UNKNOWN)))
    assert [len(chunk.unknown) for chunk in only.chunks(2)] == [5]
    assert Plan.delete([]).chunks(2) == []


@given(renamings(), st.integers(1, 5))
def test_chunks_run_in_any_order_without_a_collision(
    case: tuple[list[SavedImage], list[tuple[SavedImage, str]]], size: int
) -> None:
    images, pairs = case
    plan = Plan.rename(pairs, existing=images)
    chunks = plan.chunks(size)
    store = Store(images)
    for chunk in reversed(chunks):
        Run(store, random.Random(0), faults=0.0)(chunk)
    wanted = {image.image_id: image.name for image in images}
    assert store.names == wanted | {image.image_id: name for image, name in pairs}


@pytest.mark.parametrize("size", [0, -1, True, 1.5, "2", None])
def test_a_chunk_has_a_whole_number_of_steps(size: Any) -> None:
    with pytest.raises(UsageError, match="chunks: a whole number of 1 or more"):
        Plan.delete(["1"]).chunks(size)


@pytest.mark.parametrize("state", ["USED", "USED_PERS", "CLONE", "LOCKED_USED", "LOCKED_USED_PERS"])
def test_an_image_whose_state_says_that_it_is_used_needs_force(state: str) -> None:
    used = SavedImage(image_id="7", name="u", image_state=state)
    with pytest.raises(
        UsageError, match=rf"delete 7: the image is in use: the server says so \(state '{state}'\)"
    ):
        Plan.delete([used])
    plan = Plan.delete([used], force=True)
    assert state in plan.warnings[0]
    with pytest.raises(UsageError, match="pass force=True to delete it anyway"):
        next(steps_of(Action.DELETE, iter([used])))

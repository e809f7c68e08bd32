"""What callers hand over that looks right and is not quite: subclasses, things that merely count as true, dead pools."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, cast

import aiohttp
import pytest

import aioe2e
from aioe2e import Plan, SavedImage, Status, Step, UsageError
from aioe2e.bulk.inputs import steps_of
from aioe2e.select import all_but_newest, where
from aioe2e.testing import FakeE2E


class Name(str, enum.Enum):  # noqa: UP042  # the kind of enum whose str() is not its value
    IMAGE = "26318"
    NODE = "32203"
    NAME = "golden"


class Evil(str):
    """Passes every check of its characters and says something else when it is asked."""

    __slots__ = ()

    def __str__(self) -> str:
        return "../../other/route"

    def __format__(self, _: str) -> str:
        return "../../other/route"


class EvilNumber(int):
    def __str__(self) -> str:
        return "99"

    __repr__ = __str__


class Index:
    """A whole number that is no int, as NumPy has them."""

    def __init__(self, value: int) -> None:
        self._value = value

    def __index__(self) -> int:
        return self._value


@pytest.mark.parametrize(
    "image",
    [Name.IMAGE, Evil("26318"), EvilNumber(26318), Index(26318)],
    ids=lambda value: type(value).__name__,
)
async def test_what_is_checked_is_what_is_sent(image: Any) -> None:
    async with FakeE2E(images=3) as fake, fake.session() as session:
        await session.images.rename(image, "a")
        assert (await session.images.bulk_rename([(image, "b")])).ok
        assert (await session.images.run([Step.rename(image, Evil("c"))])).ok
        await session.images.get(image)
        await session.images.delete(image)
        assert [entry.target for entry in fake.ledger] == ["26318"] * 4
        assert [entry.name for entry in fake.ledger[:3]] == ["a", "b", "c"]


async def test_a_save_of_a_node_that_a_member_of_an_enum_names_is_done_once_and_said_to_be_done() -> (
    None
):
    async with FakeE2E(images=1, nodes=2) as fake, fake.session() as session:
        action = await session.images.save(Name.NODE, Name.NAME)
        assert (type(action.node_id), action.node_id, action.name) == (str, "32203", "golden")
        await session.images.wait_saved(action, interval=0.02)
        report = await session.images.bulk_save({Name.NODE: "again"})
        assert report.counts()[Status.DONE] == 1
        assert [entry.action for entry in fake.ledger] == ["save", "save"]


async def test_the_escape_hatch_sends_what_it_checked() -> None:
    async with FakeE2E(images=1, nodes=2) as fake, fake.session() as session:
        await session.request(
            "GET", Evil("nodes/"), query={Evil("page_no"): Evil("1"), "per_page": EvilNumber(5)}
        )
        assert fake.calls[-1].path.endswith("/nodes/")
        assert {"page_no": "1", "per_page": "5"}.items() <= fake.calls[-1].query.items()


@pytest.mark.parametrize("force", ["no", 1, None, "yes"])
async def test_only_true_forces(force: Any) -> None:
    used = SavedImage(image_id="1", running_vms=2)
    with pytest.raises(UsageError, match="force: True or False"):
        Plan.delete([used], force=force)
    with pytest.raises(UsageError, match="force: True or False"):
        steps_of(aioe2e.Action.DELETE, iter([used]), force=force)
    async with FakeE2E() as fake, fake.session() as session:
        with pytest.raises(UsageError, match="force: True or False"):
            await session.images.bulk_delete([used], force=force)
        with pytest.raises(UsageError, match="repeatable: True or False"):
            await session.request("POST", "nodes/", repeatable=force)
        assert not fake.calls


async def test_a_predicate_that_is_a_coroutine_function_does_not_choose_every_image() -> None:
    async def none(_: SavedImage) -> bool:
        return False

    async with FakeE2E() as fake, fake.session() as session:
        with pytest.raises(UsageError, match="match: a plain callable"):
            await session.images.list(none)
        assert not fake.calls
    with pytest.raises(UsageError, match="a predicate: a plain callable"):
        where(cast("Callable[[SavedImage], bool]", none), [])


@pytest.mark.parametrize(
    "call",
    [
        lambda: Plan.rename(["1"], to="x"),  # type: ignore[arg-type]  # users may be untyped
        lambda: all_but_newest(1, [], per="name"),  # type: ignore[arg-type]  # users may be untyped
        lambda: Plan.resume(5),  # type: ignore[arg-type]  # users may be untyped
        lambda: Plan.resume(b"journal"),  # type: ignore[arg-type]  # users may be untyped
    ],
)
def test_other_things_in_the_place_of_callables_and_paths_are_refused_in_words(
    call: Callable[[], Any],
) -> None:
    with pytest.raises(UsageError, match="is needed"):
        call()


async def test_a_get_takes_no_body() -> None:
    async with FakeE2E() as fake, fake.session() as session:
        with pytest.raises(UsageError, match="a GET has no body"):
            await session.request("GET", "nodes/", json={})
        assert not fake.calls


async def test_what_stands_behind_a_question_mark_in_a_path_is_not_repeated() -> None:
    async with FakeE2E() as fake, fake.session() as session:
        with pytest.raises(UsageError, match=r"not 'nodes/'$"):
            await session.request("GET", "nodes/?apikey=somebody-elses-key")


async def test_a_pool_that_its_owner_has_closed_is_an_error_at_once() -> None:
    async with FakeE2E() as fake:
        async with aiohttp.ClientSession() as http:
            session = fake.session(http=http)
            await session.images.list()
        with pytest.raises(aioe2e.SessionError, match="given as http= is closed"):
            await session.images.list()
        await session.close()
        assert len(fake.calls) == 1


async def test_a_token_function_that_is_not_async_is_told_so() -> None:
    async with FakeE2E() as fake:
        credentials = aioe2e.Credentials(
            api_key=fake.credentials.api_key,
            auth_token=lambda: "a-token",  # type: ignore[arg-type, return-value]  # users may be untyped
        )
        async with fake.session(credentials=credentials) as session:
            with pytest.raises(aioe2e.ConfigError, match="must be async"):
                await session.images.list()


async def test_steps_whose_token_could_not_be_fetched_were_not_sent_and_are_worth_running_again() -> (
    None
):
    async with FakeE2E(images=3) as fake:
        trouble = [True]

        async def token() -> str:
            if trouble:
                raise OSError("the vault restarts")
            return cast("str", fake.credentials.auth_token)

        credentials = aioe2e.Credentials(api_key=fake.credentials.api_key, auth_token=token)
        async with fake.session(credentials=credentials) as session:
            report = await session.images.bulk_delete(["26318", "26321"], limit=8)
            assert report.counts()[Status.SKIPPED] == 2
            assert not fake.calls
            trouble.clear()
            assert (await session.images.run(report.remaining())).counts()[Status.DONE] >= 1


def test_a_hand_made_image_cannot_be_changed_either() -> None:
    image = SavedImage(image_id="1", extra={"colour": "red"})
    with pytest.raises(TypeError):
        image.extra["colour"] = "blue"  # type: ignore[index]  # that is the point
    assert image.extra == {"colour": "red"}


def test_a_plan_of_steps_that_cannot_all_run_is_refused() -> None:
    with pytest.raises(UsageError, match="one index"):
        Plan([Step(aioe2e.Action.DELETE, "1", index=0), Step(aioe2e.Action.DELETE, "2", index=0)])
    with pytest.raises(UsageError, match="wait for each other"):
        Plan([Step(aioe2e.Action.DELETE, "1", index=0, after=(0,))])
    with pytest.raises(UsageError, match="not there"):
        Plan([Step(aioe2e.Action.DELETE, "1", index=0, after=(7,))])

"""Images by name, views of other locations, and waits that tell how far they have got."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from odd_server import Asked, Says, odd_server

from aioe2e import (
    AmbiguousNameError,
    ConfigError,
    ImageFailedError,
    ImageState,
    NotFoundError,
    RetryPolicy,
    SaveAction,
    Session,
    Timeouts,
    UsageError,
    WaitProgress,
)
from aioe2e.testing import FakeE2E


def image(number: int, name: str, **more: Any) -> dict[str, Any]:
    return {"image_id": str(number), "name": name, "image_state": "Ready", **more}


# By name


@pytest.mark.parametrize(
    ("images", "name", "found"),
    [
        ([image(1, "web")], "web", "1"),
        ([image(1, "web-disk-0")], "web", "1"),
        ([image(1, "web_1726058019")], "web", "1"),
        ([image(1, "x", os_distribution="DEL-web")], "web", "1"),
        ([image(1, "x", os_distribution="web")], "web", "1"),
        ([image(1, "web-disk-0"), image(2, "web")], "web", "2"),
        ([image(1, "web-disk-0"), image(2, "web")], "web-disk-0", "1"),
        ([image(1, "web-disk-0"), image(2, "webber"), image(3, "my-web")], "web", "1"),
        ([image(1, "web", image_state="Deleted"), image(2, "web")], "web", "2"),
    ],
)  # fmt: skip
async def test_an_image_is_found_by_its_name(images: list[Any], name: str, found: str) -> None:
    async with odd_server(lambda _: Says(images)) as (session, asked):
        assert (await session.images.by_name(name)).image_id == found
        assert len(asked) == 1


@pytest.mark.parametrize(
    ("images", "ids"),
    [
        ([image(1, "web"), image(2, "web")], ("1", "2")),
        ([image(1, "web-disk-0"), image(2, "web_1726058019")], ("1", "2")),
        ([image(n, "web") for n in range(40)], tuple(map(str, range(40)))),
    ],
)
async def test_a_name_that_several_images_have_names_them(
    images: list[Any], ids: tuple[str, ...]
) -> None:
    async with odd_server(lambda _: Says(images)) as (session, _):
        with pytest.raises(
            AmbiguousNameError, match=r"images may be meant by the name 'web': "
        ) as e:
            await session.images.by_name("web")
    assert e.value.image_ids == ids
    assert f"{ids[0]} ({images[0]['name']!r})" in str(e.value)
    assert len(str(e.value)) < 300


async def test_ids_that_a_server_made_up_are_shown_escaped_short_and_few() -> None:
    images = [image(n, "web") | {"image_id": f"{n}\x1b[31m{'7' * 1000}"} for n in range(40)]
    async with odd_server(lambda _: Says(images)) as (session, _):
        for call in (session.images.by_name, session.images.get):
            with pytest.raises((AmbiguousNameError, NotFoundError)) as caught:
                await call("web")
            text = str(caught.value)
            assert r"0\x1b[31m7" in text
            assert "and 35 more" in text
            assert text.isprintable()
            assert len(text) < 1000


async def test_a_name_that_no_image_has_names_similar_ones() -> None:
    shown = [image(1, "web-golden"), image(2, "db")]
    async with odd_server(lambda _: Says(shown)) as (session, _):
        with pytest.raises(NotFoundError, match="no saved image is named 'web-glden'; similar names: 'web-golden'") as caught:  # fmt: skip
            await session.images.by_name("web-glden")
    assert caught.value.confirmed


@pytest.mark.parametrize("name", ["", " web", "a\nb", 5, None])
async def test_what_is_no_name_is_refused(name: Any) -> None:
    async with odd_server(lambda _: Says([])) as (session, asked):
        with pytest.raises(UsageError, match="name: "):
            await session.images.by_name(name)
        assert not asked


# Views of other locations


def of_place(asked: Asked) -> Says:
    place = f"{asked.query.get('project_id')}-{asked.query.get('location')}"
    return Says([image(1, place)])


async def test_a_view_asks_in_another_location_with_the_same_pool() -> None:
    async with odd_server(of_place) as (session, asked):
        chennai = session.at(location="Chennai")
        other = session.at(project_id=7)
        both = chennai.at(project_id=7)
        names = [(await each.images.list())[0].name for each in (session, chennai, other, both)]
        assert names == ["12345-Delhi", "12345-Chennai", "7-Delhi", "7-Chennai"]
        assert (await chennai.request("GET", "x/")).data[0]["name"] == "12345-Chennai"
        assert "Chennai" in repr(chennai)
        await chennai.close()
        assert not session.closed
        await session.images.list()
        assert {each.headers["Authorization"] for each in asked} == {"Bearer the-auth-token"}
    assert chennai.closed


async def test_what_is_remembered_of_images_belongs_to_their_location() -> None:
    async with odd_server(of_place) as (session, _):
        chennai = session.at(location="Chennai")
        assert chennai._memory is not session._memory
        assert chennai.at(location="Delhi")._memory is session._memory
        assert session.at(location="Chennai")._memory is chennai._memory
        assert session.at(project_id="0012345")._memory is session._memory
        hasty = chennai.with_options(timeouts=Timeouts(total=5), retry=RetryPolicy.none())
        assert hasty._memory is chennai._memory
        assert hasty.at(location="Delhi")._options.timeouts.total == 5


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ({"location": ""}, "location must be a name"),
        ({"location": "Del/hi"}, "location must be a name"),
        ({"location": "the-api-key"}, "location holds a secret"),
        ({"project_id": 0}, "project_id must be"),
        ({"project_id": "x"}, "project_id must be"),
    ],
)
async def test_a_place_that_cannot_be_meant_is_refused(place: dict[str, Any], says: str) -> None:
    async with odd_server(of_place) as (session, _):
        with pytest.raises(ConfigError, match=says):
            session.at(**place)


async def test_a_view_of_a_subclass_stays_one() -> None:
    class Mine(Session):
        label = "of the class"

    async with FakeE2E(images=1) as fake:
        session = Mine(fake.credentials, base_url=fake.url)
        session.label = "of mine"
        assert session.at(location="Chennai").label == "of mine"
        await session.close()


# Waits


def states(*words: str) -> Any:
    queue = list(words)

    def answer(_: Asked) -> Says:
        word = queue.pop(0) if len(queue) > 1 else queue[0]
        if word == "down":
            return Says(status=500)
        return Says([] if word == "gone" else [image(1, "web", image_state=word)])

    return answer


async def test_a_wait_tells_what_it_sees() -> None:
    seen: list[WaitProgress] = []
    async with odd_server(states("Creating", "down", "LOCKED", "USED")) as (session, _):
        await session.images.list()
        shown = await session.images.wait(1, interval=0.01, progress=seen.append)
    assert shown.in_use
    assert [now.state for now in seen] == [None, ImageState.CREATING]
    assert all(now.next_look <= 0.02 for now in seen)
    assert seen == sorted(seen, key=lambda now: now.elapsed)


async def test_a_wait_for_an_end_tells_what_it_sees() -> None:
    seen: list[WaitProgress] = []
    async with odd_server(states("Ready", "DELETE", "DELETE", "gone")) as (session, _):
        await session.images.wait_gone(1, interval=0.01, progress=seen.append)
    assert [now.state for now in seen] == [ImageState.READY, *[ImageState.DELETING] * 2]


async def test_a_wait_for_a_save_tells_what_it_sees() -> None:
    action = SaveAction(node_id="5", name="web", image_id="1")
    seen: list[WaitProgress] = []
    async with odd_server(states("gone", "Creating", "Ready")) as (session, _):
        await session.images.wait_saved(action, interval=0.01, progress=seen.append)
    assert [now.state for now in seen] == [None, ImageState.CREATING]


@pytest.mark.parametrize("word", ["Error", "DISABLED", "DELETE"])
async def test_a_wait_ends_where_the_image_cannot_become_ready_any_more(word: str) -> None:
    async with odd_server(states("Creating", word)) as (session, _):
        with pytest.raises(ImageFailedError, match=f"'web' turned '{word}'; it will not be READY"):
            await session.images.wait(1, interval=0.01, timeout=30)


async def test_a_wait_ends_where_the_image_was_made_already() -> None:
    async with odd_server(states("Ready")) as (session, _):
        with pytest.raises(ImageFailedError, match="it will not be CREATING"):
            await session.images.wait(1, ImageState.CREATING, interval=0.01, timeout=30)


async def test_a_progress_callback_that_fails_or_is_async_does_no_harm(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(_: WaitProgress) -> None:
        raise RuntimeError("of mine")

    async def late(_: WaitProgress) -> None: ...

    async with odd_server(states("Creating", "Ready")) as (session, asked):
        with pytest.raises(UsageError, match="progress: a plain callable is needed"):
            await session.images.wait(1, progress=late)
        assert not asked
        await session.images.wait(1, interval=0.01, progress=fail)
    assert "a progress callback failed" in caplog.text


async def test_several_locations_are_listed_at_once_and_the_one_that_fails_is_known() -> None:
    def answer(asked: Asked) -> Says:
        return Says(status=403) if asked.query["location"] == "Mumbai" else of_place(asked)

    async with odd_server(answer) as (session, _):
        places = ["Delhi", "Chennai", "Mumbai"]
        found = await asyncio.gather(
            *(session.at(location=place).images.list() for place in places), return_exceptions=True
        )
        failed = [p for p, f in zip(places, found, strict=True) if isinstance(f, Exception)]
        assert failed == ["Mumbai"]

"""The programs on the page about JSON answer as it says."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from aiohttp import web
from fastapi import FastAPI
from snippets import ROOT, run_page, use_in_environment

import aioe2e
from aioe2e.testing import FakeE2E

PAGE = ROOT / "docs" / "json.md"


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeE2E]:
    monkeypatch.chdir(tmp_path)
    with FakeE2E(images=12, nodes=3) as fake:
        use_in_environment(monkeypatch, fake)
        yield fake


@pytest.fixture
def page(fake: FakeE2E) -> dict[str, Any]:
    return run_page(PAGE, fake)


async def test_the_fastapi_app_answers_in_json(page: dict[str, Any], fake: FakeE2E) -> None:
    app: FastAPI = page["app"]
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://app") as client,
    ):
        listed = (await client.get("/images")).json()
        one = (await client.get(f"/images/{listed[0]['image_id']}")).json()
        schema = (await client.get("/openapi.json")).json()
    assert [image["image_id"] for image in listed] == [str(image_id) for image_id in fake.images]
    assert set(listed[0]) == {"image_id", "name", "state", "in_use", "size_gb", "creation_time"}
    assert {image["state"] for image in listed} <= {state.value for state in aioe2e.ImageState}
    assert datetime.fromisoformat(listed[0]["creation_time"]).tzinfo is not None
    image = aioe2e.SavedImage.from_dict(one)
    assert image.image_id == listed[0]["image_id"]
    assert one["in_use"] == listed[0]["in_use"]
    assert "Image" in schema["components"]["schemas"]


async def test_the_handler_of_aiohttp_answers_in_json(page: dict[str, Any], fake: FakeE2E) -> None:
    app = web.Application()
    app.router.add_get("/nodes", page["nodes"])
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        [(_, port)] = runner.addresses
        async with httpx.AsyncClient() as client:
            nodes = (await client.get(f"http://127.0.0.1:{port}/nodes")).json()
    finally:
        await runner.cleanup()
    assert [aioe2e.Node.from_dict(node).node_id for node in nodes] == list(fake.nodes)


async def test_pydantic_and_msgspec_read_the_values(page: dict[str, Any]) -> None:
    for image in page["images"]:
        read = page["Image"].model_validate(image)
        assert (read.image_id, read.state, read.in_use) == (
            image.image_id,
            image.state,
            image.in_use,
        )
        assert msgspec.json.decode(msgspec.json.encode(image.to_dict())) == image.to_dict()


def test_the_page_names_every_value_that_is_json() -> None:
    text = PAGE.read_text(encoding="utf-8")
    models = [(name, getattr(aioe2e, name)) for name in aioe2e.__all__]
    for name, model in models:
        if isinstance(model, type) and hasattr(model, "to_dict"):
            row = next(
                (line for line in text.splitlines() if f"`{name}`" in line and "|" in line), ""
            )
            assert row, f"{name} is not in the table"
            assert row.endswith(f"| {'yes' if hasattr(model, 'from_dict') else 'no'} |"), name

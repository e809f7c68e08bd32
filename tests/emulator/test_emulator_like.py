"""An emulator made like a field report behaves as the account behaved that the report is of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from emulator_client import LIST, ask

import aioe2e
from aioe2e.diagnosis import FieldReport
from aioe2e.testing import FakeE2E, made_images
from aioe2e.testing import __main__ as command
from aioe2e.testing._options import keywords_of, parser_of

ODD: dict[str, Any] = {
    "dialects": "current",
    "save_seconds": 0.6,
    "delete_seconds": 0.2,
    "opennebula": True,
    "image_id_in_save": True,
    "requests_per_hour": 5000,
    "rate_limit_headers": "x-ratelimit",
    "date_offset": 120,
    "latency": 0.01,
}


async def reported(fake: FakeE2E, *, writes: bool = True) -> FieldReport:
    async with fake.session() as session:
        node = next(iter(fake.nodes)) if writes else None
        return await session.field_report(
            node, writes=writes, interval=0.05, timeout=20, tell=lambda _: None
        )


async def test_an_emulator_made_from_a_report_gives_the_same_report() -> None:
    async with FakeE2E(images=7, nodes=3, **ODD) as fake:
        first = await reported(fake)
    async with FakeE2E.like(first) as twin:
        assert (len(twin.images), len(twin.nodes)) == (7, 3)
        second = await reported(twin)
    for question, answer in first.answers.items():
        # Which states are seen is a matter of the moment on a busy machine.
        if not answer.endswith(" s") and "state" not in question:
            assert second.answers[question] == answer, question
    for route, told in first.routes.items():
        again = second.routes[route]
        assert again["envelope"] == told["envelope"]
        assert again["elements"] == told["elements"]
        assert set(again["fields"]) == set(told["fields"])
        assert set(again["headers"]) == set(told["headers"])
    assert second.clock_skew == pytest.approx(120, abs=2)
    # It is counted from the reply to the save, which a busy machine reads late.
    assert float(second.answers["How long until it is ready?"].split()[0]) >= 0.2


IMAGES: list[dict[str, Any]] = [
    {
        "image_id": number,
        "image_name": f"i{number}-disk-0",
        "image_state": "available",
        "running_vms": number,
        "creation_time": "2026-03-12T10:00:00Z",
        "vm_info": None,
        "flag": True,
        "nested": {"inner": "7"},
    }
    for number in (1, 2, 3)
]


async def test_the_shape_of_the_objects_is_that_of_the_report() -> None:
    async with FakeE2E(IMAGES, nodes=0) as fake:
        report = await reported(fake, writes=False)
    async with FakeE2E.like(report) as twin:
        images = (await ask(twin, *LIST)).json["data"]
    assert len(images) == 3
    for image in images:
        assert set(image) == set(IMAGES[0])
        assert type(image["image_id"]) is int
        assert image["image_state"] == "available"
        assert type(image["running_vms"]) is int
        assert image["creation_time"][4] == "-"
        assert image["vm_info"] is None
        assert type(image["flag"]) is bool
        assert type(image["nested"]) is dict
    assert len({image["image_id"] for image in images}) == 3


async def test_varied_spellings_in_a_report_are_reproduced() -> None:
    async with FakeE2E(made_images(60, wobbles=True), nodes=0) as fake:
        report = await reported(fake, writes=False)
    async with FakeE2E.like(report) as twin, twin.session() as session:
        assert len({type(image["running_vms"]) for image in twin.images.values()}) > 1
        assert len(await session.images.list()) == 60


async def test_options_override_the_report() -> None:
    async with FakeE2E(images=7, **ODD) as fake:
        report = await reported(fake, writes=False)
    async with FakeE2E.like(report, images=2, dialects="documented", date_offset=0) as twin:
        assert len(twin.images) == 2


async def test_a_report_can_be_a_value_a_dict_a_file_or_a_printed_text(tmp_path: Path) -> None:
    async with FakeE2E(images=4, nodes=1) as fake:
        report = await reported(fake, writes=False)
    (tmp_path / "report.json").write_text(json.dumps(report.to_dict()), encoding="utf-8")
    (tmp_path / "issue.md").write_text(f"Hello,\n\n{report}\nBye", encoding="utf-8")
    for source in (
        report,
        report.to_dict(),
        tmp_path / "report.json",
        str(tmp_path / "issue.md"),
    ):
        assert len(FakeE2E.like(source).images) == 4
    options = parser_of("x").parse_args(["--like", str(tmp_path / "report.json"), "--nodes", "2"])
    keywords = keywords_of(options)
    assert (len(keywords["images"]), keywords["nodes"], keywords["save_seconds"]) == (4, 2, 5.0)
    FakeE2E(**keywords)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"form": 99}', '"report"'])
def test_the_error_for_an_unusable_report_names_its_file(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "wrong.json"
    path.write_text(text)
    with pytest.raises(aioe2e.UsageError, match=r"wrong\.json"):
        FakeE2E.like(path)
    with pytest.raises(SystemExit):
        command.main(["--port", "0", "--like", str(path)])
    assert "wrong.json" in capsys.readouterr().err
    with pytest.raises(FileNotFoundError):
        FakeE2E.like(tmp_path / "missing.json")


@pytest.mark.parametrize("wrong", [None, 7, b"x", [], {"x"}, object()])
def test_a_value_of_another_type_is_refused_as_a_report(wrong: Any) -> None:
    with pytest.raises(
        aioe2e.UsageError, match="report must be a FieldReport, its dict, or a file"
    ):
        FakeE2E.like(wrong)


@pytest.mark.parametrize(
    ("damage", "value"),
    [
        ("routes", {"images/saved-images/": {"status": None, "error": "ConnectError"}}),
        ("routes", {}),
        ("routes", {"images/saved-images/": {"status": 404, "body": "an HTML page"}}),
        ("routes", {"images/saved-images/": {"elements": 4, "fields": 7, "headers": [1]}}),
        ("routes", {"images/saved-images/": {"elements": -4, "seconds": "x", "fields": {"a": 1}}}),
        ("routes", {"images/saved-images/": {"elements": 2, "fields": {"a": {"kinds": {"?": 0}}}}}),
        ("images", {"ends": [1]}),
        ("clock_skew", None),
        ("answers", {"How long until it is ready?": "a while"}),
    ],
)
async def test_a_report_of_which_little_could_be_read_still_makes_an_emulator(
    damage: str, value: Any
) -> None:
    async with FakeE2E(images=4) as fake:
        told = (await reported(fake, writes=False)).to_dict()
    async with FakeE2E.like(told | {damage: value}) as twin, twin.session() as session:
        await session.images.list()

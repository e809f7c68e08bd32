"""Clients written by others work against the emulator: their requests, byte for byte as their sources send them."""

from __future__ import annotations

import http.client
import json
from typing import Any

import pytest
from patience import SOON

from aioe2e.testing import FakeE2E

ECLI = {
    "Content-Type": "application/json",
    "User-Agent": "cli-e2e",
    "Accept": "*/*",
    "Accept-Encoding": "gzip, deflate",
}
E2ECTL = {
    "content-type": "application/json",
    "accept": "*/*",
    "accept-language": "*",
    "user-agent": "node",
}
TERRAFORM = {"Content-Type": "application/json", "User-Agent": "terraform-e2e"}
GOE2E = {
    "Content-Type": "application/json",
    "Accept": "application/json",
    "User-Agent": "goe2e/1.0.0",
}


def send(
    fake: FakeE2E, method: str, path: str, headers: dict[str, str], body: str | None = None
) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", fake.port, timeout=SOON)
    try:
        token = {"Authorization": f"Bearer {fake.credentials.auth_token}"}
        path = f"/myaccount/api/v1/{path.replace('KEY', fake.credentials.api_key)}"
        connection.request(method, path, body, headers | token)
        reply = connection.getresponse()
        return reply.status, json.loads(reply.read())
    finally:
        connection.close()


def test_e2e_cli_0_9_30_lists_saves_renames_and_deletes() -> None:
    query = "?apikey=KEY&location=Delhi"
    with FakeE2E(images=3) as fake:
        first, second, _ = fake.images
        node = next(iter(fake.nodes))
        # requests sends `data={}` as no body at all, and `params={}` as no query of its own.
        status, listing = send(fake, "GET", f"images/saved-images/{query}", ECLI)
        assert (status, listing["code"], listing["message"]) == (200, 200, "Success")
        assert [image["image_id"] for image in listing["data"]] == list(fake.images)
        status, saved = send(
            fake,
            "PUT",
            f"nodes/{node}/actions/{query}",
            ECLI,
            '{"name": "from-cli", "type": "save_images"}',
        )
        assert (status, saved["code"], saved["errors"]) == (200, 200, {})
        status, renamed = send(
            fake,
            "PUT",
            f"images/{first}/{query}",
            ECLI,
            '{"name": "golden", "action_type": "rename"}',
        )
        assert (status, renamed["code"], bool(renamed["data"])) == (200, 200, True)
        status, deleted = send(
            fake, "PUT", f"images/{second}/{query}", ECLI, '{"action_type": "delete_image"}'
        )
        assert (status, deleted["code"], bool(deleted["data"])) == (200, 200, True)
        assert [entry.action for entry in fake.ledger] == ["save", "rename", "delete"]
        assert fake.images[first]["name"] == "golden"
        assert second not in fake.images


def test_e2e_cli_checks_credentials_by_the_code_in_the_reply() -> None:
    path = "customer/details/?apikey=KEY&contact_person_id=null"
    with FakeE2E() as fake:
        assert "code" in send(fake, "GET", path, ECLI)[1]
        assert "code" not in send(fake, "GET", path.replace("KEY", "wrong"), ECLI)[1]


def test_e2ectl_lists_saves_renames_and_deletes() -> None:
    query = "?apikey=KEY&project_id=12345&location=Delhi"
    with FakeE2E(images=3) as fake:
        first, second, _ = fake.images
        node = next(iter(fake.nodes))
        replies = [
            send(fake, "GET", "iam/multi-crn/?apikey=KEY", E2ECTL),
            send(fake, "GET", f"images/saved-images/{query}", E2ECTL),
            send(fake, "GET", f"nodes/{query}&page_no=1&per_page=100", E2ECTL),
            send(
                fake,
                "PUT",
                f"nodes/{node}/actions/{query}",
                E2ECTL,
                '{"name":"from-ctl","type":"save_images"}',
            ),
            send(
                fake,
                "PUT",
                f"images/{first}/{query}",
                E2ECTL,
                '{"action_type":"rename","name":"golden"}',
            ),
            send(fake, "DELETE", f"images/{second}/{query}", E2ECTL),
        ]
        for status, envelope in replies:
            assert status == 200
            # It calls anything else an invalid shape.
            assert envelope["code"] == 200
            assert {"data", "errors", "message"} <= set(envelope)
        assert replies[2][1]["total_page_number"] == 1
        assert set(replies[3][1]["data"]) >= {
            "action_type",
            "created_at",
            "id",
            "resource_id",
            "status",
        }
        assert [entry.action for entry in fake.ledger] == ["save", "rename", "delete"]


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_the_terraform_provider_deletes_with_a_body_by_either_method(method: str) -> None:
    with FakeE2E() as fake:
        first = next(iter(fake.images))
        path = f"images/{first}/?apikey=KEY&project_id=12345"
        assert send(fake, "GET", path, TERRAFORM)[1]["data"]["image_id"] == first
        assert send(fake, method, path, TERRAFORM, '{"action_type":"delete_image"}')[0] == 200
        assert send(fake, "GET", path, TERRAFORM)[0] == 404


def test_goe2e_omits_the_final_slash() -> None:
    with FakeE2E() as fake:
        first = next(iter(fake.images))
        path = f"images/{first}?apikey=KEY&location=Delhi&project_id=12345"
        assert (
            send(fake, "PUT", path, GOE2E, '{"action_type":"rename","name":"golden"}')[1]["data"][
                "status"
            ]
            is True
        )
        # Without this status the Terraform provider takes a delete for failed.
        assert send(fake, "DELETE", path, GOE2E)[1]["data"]["status"] is True

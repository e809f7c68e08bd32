"""From a status and a text to the error class that a caller catches."""

from __future__ import annotations

import pytest

from aioe2e._wire.refusal import means_missing, refusal
from aioe2e._wire.request import LIST, encode
from aioe2e.config import Dialect
from aioe2e.errors import (
    APIError,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    ServerError,
    SessionError,
    is_passing,
)
from aioe2e.models import Action

RENAME = encode(Action.RENAME, "2292", "golden", Dialect.DOCUMENTED)


def made(status: int, message: str = "no", *errors: str) -> APIError:
    return refusal(RENAME, status, None, message, errors, None, {})


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (200, APIError),
        (302, APIError),
        (400, BadRequestError),
        (401, AuthenticationError),
        (402, APIError),
        (403, PermissionDeniedError),
        (404, NotFoundError),
        (405, APIError),
        (408, APIError),
        (409, ConflictError),
        (410, NotFoundError),
        (412, APIError),
        (418, APIError),
        (422, BadRequestError),
        (429, RateLimitedError),
        (500, ServerError),
        (501, ServerError),
        (502, ServerError),
        (503, ServerError),
        (504, ServerError),
        (599, ServerError),
    ],
)
def test_a_status_has_its_class(status: int, kind: type[APIError]) -> None:
    assert type(made(status)) is kind
    assert made(status).status == status


@pytest.mark.parametrize(
    "text",
    [
        "Authentication credentials were not provided.",
        "Token expired.",
        "Unauthorized",
        "unauthorised",
        "Invalid API key",
        "invalid apikey",
    ],
)
def test_a_403_that_speaks_of_credentials_is_a_matter_of_authentication(text: str) -> None:
    assert type(made(403, text)) is AuthenticationError
    assert type(made(403, "Forbidden", text)) is AuthenticationError
    assert made(403, text).status == 403


@pytest.mark.parametrize(
    "text", ["Forbidden", "You do not have permission to perform this action.", ""]
)
def test_any_other_403_is_a_matter_of_permission(text: str) -> None:
    assert type(made(403, text)) is PermissionDeniedError


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Image not found", NotFoundError),
        ("image does not exist", NotFoundError),
        ("The image doesn't exist", NotFoundError),
        ("No such image", NotFoundError),
        ("An image with this name ALREADY EXISTS", ConflictError),
        ("Image is in use", ConflictError),
        ("you have running servers on this image", ConflictError),
        ("Duplicate name", ConflictError),
        ("that name is already taken", ConflictError),
        ("Action not allowed on Resources that are part of Disaster Recovery Plan", APIError),
        ("Unable to fire Load Balancer vm instance", APIError),
        ("Disk is not attached to vm", APIError),
    ],
)
def test_on_412_the_text_decides(text: str, kind: type[APIError]) -> None:
    assert type(made(412, text)) is kind
    assert type(made(412, "Precondition Failed", text)) is kind


@pytest.mark.parametrize("status", [400, 401, 404, 409, 422, 429, 500])
def test_on_no_other_status_does_the_text_decide(status: int) -> None:
    classes = {type(made(status, text)) for text in ("not found", "already exists", "in use", "x")}
    assert len(classes) == 1


@pytest.mark.parametrize(
    ("status", "text", "hint"),
    [
        (401, "no", "check the API key and the auth token"),
        (403, "no", "read-only"),
        (404, "Project not found", "project_id and location"),
        (400, "project_id is required", "project_id and location"),
        (405, "no", "Dialect"),
        (302, "Found", "base_url"),
        (429, "slow down", "Limits.in_flight"),
    ],
)
def test_the_text_says_what_to_do_next(status: int, text: str, hint: str) -> None:
    assert hint in str(made(status, text))


def test_the_text_says_what_was_tried_and_what_the_server_said() -> None:
    delete = encode(Action.DELETE, "5", "", Dialect.DOCUMENTED)
    error = refusal(delete, 409, 412, "Image is in use", ("by vm-1", "by vm-2"), 3.0, {})
    assert str(error) == (
        "delete of image 5: the server answered 409: Image is in use (by vm-1; by vm-2) "
        "[list the images to see who has the name, or what uses the image]"
    )
    assert (error.status, error.code, error.message, error.errors) == (
        409,
        412,
        "Image is in use",
        ("by vm-1", "by vm-2"),
    )
    assert (error.retry_after, error.action) == (3.0, "delete")


@pytest.mark.parametrize("errors", [("taken",), ("a", "b")])
def test_what_the_message_says_already_is_not_said_twice(errors: tuple[str, ...]) -> None:
    message = "; ".join(errors)
    assert str(made(409, message, *errors)).count(message) == 1


def test_many_sentences_do_not_flood_the_text() -> None:
    assert len(str(made(400, "no", *["x" * 400] * 24))) < 400


@pytest.mark.parametrize(
    ("status", "message", "errors", "missing"),
    [
        (404, "Not Found", (), True),
        (410, "Gone", (), True),
        (412, "image not found", (), True),
        (404, "Saved image not found in project 12", (), True),
        (404, "Project not found", (), False),
        (404, "Not Found", ("No such project",), False),
        (404, "The project with id 7 does not exist", (), False),
        (412, "already exists", (), False),
        (409, "not found", (), False),
        (500, "not found", (), False),
    ],
)
def test_only_a_missing_image_counts_as_missing(
    status: int, message: str, errors: tuple[str, ...], missing: bool
) -> None:
    assert means_missing(made(status, message, *errors)) is missing


def test_no_other_error_means_missing() -> None:
    assert not means_missing(SessionError("not found"))
    assert not means_missing(None)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("There are 2 VMs using it.", ConflictError),
        ("There is 1 VM using it", ConflictError),
        ("There are 1 active clone operations.", ConflictError),
        ("NAME is already taken by IMAGE 43", ConflictError),
        ("Image does not exist", NotFoundError),
        ("Datastore no longer exists cannot remove image", APIError),
    ],
)
def test_the_refusals_of_the_system_behind_the_api_have_their_class(
    text: str, kind: type[APIError]
) -> None:
    assert type(made(412, text)) is kind
    assert not is_passing(made(412, text))


@pytest.mark.parametrize("status", [200, 400, 409, 412, 422])
@pytest.mark.parametrize(
    "text",
    [
        "Node is already in Saving state, please try again later",
        "node already in saving state",
        "The image is being cloned; retry later.",
        "Try again after some time",
    ],
)
def test_a_refusal_that_says_it_passes_is_worth_another_run(status: int, text: str) -> None:
    assert is_passing(made(status, text))
    assert is_passing(made(status, "Precondition Failed", text))


@pytest.mark.parametrize(
    "text", ["no", "Image name already exists", "Image is in use", "bad state"]
)
def test_a_refusal_that_does_not_say_so_is_for_good(text: str) -> None:
    assert not is_passing(made(412, text))


def test_a_missing_list_route_makes_one_think_of_the_base_url() -> None:
    error = refusal(LIST, 404, None, "Not Found", (), None, {})
    assert "base_url" in str(error)

"""What goes over the wire: the bytes of every request, and the verdict on every shape of reply."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioe2e import errors
from aioe2e._actions import Repeatability
from aioe2e._text import Redactor
from aioe2e._wire import Fate
from aioe2e._wire.envelope import envelope_codes, flatten, says_failure, spoken
from aioe2e._wire.json import parse
from aioe2e._wire.judge import RawReply, Verdict, judge, judge_failure
from aioe2e._wire.request import LIST, Request, describe, encode, in_next_dialect
from aioe2e.config import Dialect
from aioe2e.models import Action

KEY = "k3y-of-the-user"
HTML = b"<!DOCTYPE html><html><body>502 Bad Gateway</body></html>"

SAVE = encode(Action.SAVE, "101", "nightly", Dialect.DOCUMENTED)
RENAME = encode(Action.RENAME, "2292", "golden", Dialect.DOCUMENTED)
DELETE = encode(Action.DELETE, "2292", "", Dialect.DOCUMENTED)
READ = Request("request", "nodes/", Repeatability.READ, "GET", "nodes/")
WRITE = Request("request", "nodes/", Repeatability.ONCE, "POST", "nodes/")
WRITES = (SAVE, RENAME, DELETE, WRITE)


def judged(request: Request, status: int, body: Any, retry_after: float | None = None) -> Verdict:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return judge(request, RawReply(status, {}, raw), parse(raw), Redactor([KEY]), retry_after)


def refused(verdict: Verdict) -> errors.APIError:
    assert isinstance(verdict.error, errors.APIError)
    return verdict.error


# Requests


@pytest.mark.parametrize(
    ("action", "dialect", "method", "path", "body"),
    [
        (
            Action.SAVE,
            Dialect.DOCUMENTED,
            "POST",
            "nodes/101/actions/",
            b'{"type": "save_images", "name": "n"}',
        ),
        (
            Action.SAVE,
            Dialect.CURRENT,
            "PUT",
            "nodes/101/actions/",
            b'{"type": "save_images", "name": "n"}',
        ),
        (
            Action.RENAME,
            Dialect.DOCUMENTED,
            "POST",
            "images/101/",
            b'{"action_type": "rename", "name": "n"}',
        ),
        (
            Action.RENAME,
            Dialect.CURRENT,
            "PUT",
            "images/101/",
            b'{"action_type": "rename", "name": "n"}',
        ),
        (
            Action.DELETE,
            Dialect.DOCUMENTED,
            "POST",
            "images/101/",
            b'{"action_type": "delete_image"}',
        ),
        (Action.DELETE, Dialect.CURRENT, "DELETE", "images/101/", None),
        (
            Action.SAVE,
            Dialect.PUT,
            "PUT",
            "nodes/101/actions/",
            b'{"type": "save_images", "name": "n"}',
        ),
        (
            Action.RENAME,
            Dialect.PUT,
            "PUT",
            "images/101/",
            b'{"action_type": "rename", "name": "n"}',
        ),
        (
            Action.DELETE,
            Dialect.PUT,
            "PUT",
            "images/101/",
            b'{"action_type": "delete_image"}',
        ),
    ],
)
def test_each_action_has_the_exact_bytes_of_its_dialect(
    action: Action, dialect: Dialect, method: str, path: str, body: bytes | None
) -> None:
    request = encode(action, "101", "n", dialect)
    assert (request.method, request.path, request.body) == (method, path, body)
    assert request.fallbacks == ()
    assert request.query is None


@pytest.mark.parametrize("action", list(Action))
def test_auto_sends_the_documented_request_and_knows_the_current_one(action: Action) -> None:
    first = encode(action, "7", "n", Dialect.AUTO)
    for request, dialect in (
        (first, Dialect.DOCUMENTED),
        (in_next_dialect(first), Dialect.CURRENT),
    ):
        plain = encode(action, "7", "n", dialect)
        assert (request.method, request.path, request.body) == (
            plain.method,
            plain.path,
            plain.body,
        )
        assert (request.target, request.name, request.repeat) == (
            plain.target,
            plain.name,
            plain.repeat,
        )


@pytest.mark.parametrize(
    ("action", "methods"),
    [
        (Action.SAVE, ["POST", "PUT"]),
        (Action.RENAME, ["POST", "PUT"]),
        (Action.DELETE, ["POST", "DELETE", "PUT"]),
    ],
)
@pytest.mark.parametrize(
    "learned", [None, Dialect.DOCUMENTED, Dialect.CURRENT, Dialect.PUT], ids=str
)
def test_auto_tries_each_method_once_beginning_with_the_one_that_it_has_learned(
    action: Action, methods: list[str], learned: Dialect | None
) -> None:
    known = {} if learned is None else {SAVE.route: learned, DELETE.route: learned}
    request = encode(action, "7", "n", Dialect.AUTO, known)
    first = encode(action, "7", "n", learned or Dialect.DOCUMENTED).method
    sent = [request.method]
    while request.fallbacks:
        request = in_next_dialect(request)
        sent.append(request.method)
        assert request.dialect is not None
        plain = encode(action, "7", "n", request.dialect)
        assert (request.method, request.path, request.body) == (
            plain.method,
            plain.path,
            plain.body,
        )
    assert sent[0] == first
    assert sorted(sent) == sorted(methods)
    assert sent[1:] == [method for method in methods if method != first]


def test_only_a_save_may_be_carried_out_just_once() -> None:
    assert (SAVE.repeat, RENAME.repeat, DELETE.repeat) == (
        Repeatability.ONCE,
        Repeatability.IDEMPOTENT,
        Repeatability.IDEMPOTENT,
    )


def test_the_listing_is_a_get_of_saved_images_without_a_body() -> None:
    assert (LIST.method, LIST.path, LIST.body, LIST.repeat) == (
        "GET",
        "images/saved-images/",
        None,
        Repeatability.READ,
    )


@given(
    name=st.text(min_size=1, max_size=255).filter(
        lambda text: not any("\ud800" <= c <= "\udfff" for c in text)
    )
)
def test_any_name_arrives_at_the_server_as_it_was_given(name: str) -> None:
    for action in (Action.SAVE, Action.RENAME):
        body = encode(action, "1", name, Dialect.DOCUMENTED).body
        assert body is not None
        assert json.loads(body)["name"] == name
        assert body.isascii()


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (LIST, "listing the saved images"),
        (SAVE, "save of node 101"),
        (RENAME, "rename of image 2292"),
        (DELETE, "delete of image 2292"),
        (WRITE, "request to nodes/"),
    ],
)
def test_an_error_begins_with_what_was_tried(request_: Request, words: str) -> None:
    assert describe(request_) == words


# Success

SAVED = {
    "message": "Success",
    "code": 200,
    "data": {
        "id": 773,
        "created_at": "2019-10-31T06:13:47.613831Z",
        "status": "done",
        "action_type": "save_images",
        "resource_id": "101",
    },
    "errors": {},
}


@pytest.mark.parametrize(
    ("request_", "status", "body", "message"),
    [
        (SAVE, 202, SAVED, "Success"),
        (SAVE, 200, {**SAVED, "data": {"status": "In Progress", "image_id": "img-455"}}, "Success"),
        (RENAME, 200, {"code": 200, "message": "Success", "data": {"status": True, "message": "Changed"}}, "Changed"),
        (RENAME, 200, {"code": 200, "message": "OK", "data": {"message": "Saved image renamed."}}, "Saved image renamed."),
        (DELETE, 200, {"code": 200, "data": {"message": "Image deleted successfully"}}, "Image deleted successfully"),
        (DELETE, 200, {"code": 200, "data": {}, "message": "Gone"}, "Gone"),
        (DELETE, 201, {"code": 200}, ""),
        (DELETE, 204, b"", ""),
        (SAVE, 204, b"", ""),
        (DELETE, 200, {"status_code": 200}, ""),
        (DELETE, 200, {"data": None}, ""),
        (DELETE, 200, {"message": "Deleted"}, "Deleted"),
        (DELETE, 200, {"data": "Image deleted"}, ""),
        (DELETE, 200, {"code": "200", "errors": None, "data": {}}, ""),
        (DELETE, 200, {"code": 200.0, "errors": [], "detail": "", "total_count": 3}, ""),
        (DELETE, 299, {"code": 200, "errors": False, "error": None}, ""),
        (RENAME, 200, b'\xef\xbb\xbf{"code": 200}', ""),
        (RENAME, 200, '{"code": 200}'.encode("utf-16"), ""),
        (RENAME, 200, b'{"code": 500, "code": 200}', ""),
    ],
)  # fmt: skip
def test_every_2xx_in_which_nothing_says_failure_is_done(
    request_: Request, status: int, body: Any, message: str
) -> None:
    verdict = judged(request_, status, body)
    assert (verdict.fate, verdict.http_status, verdict.message, verdict.error) == (
        Fate.DONE,
        status,
        message,
        None,
    )


@pytest.mark.parametrize(
    "body",
    [
        {"code": 200, "data": [{"image_id": 1}], "errors": {}, "message": "Success"},
        {"data": [{"image_id": 1}]},
        {"code": 200, "data": [{"image_id": 1}], "total_count": 1, "total_page_number": 1},
    ],
)
def test_a_listing_gives_its_data(body: Any) -> None:
    verdict = judged(LIST, 200, body)
    assert (verdict.fate, verdict.data) == (Fate.DONE, [{"image_id": 1}])


@pytest.mark.parametrize(
    ("body", "data"),
    [([1, 2], [1, 2]), ("text", "text"), ({"x": 1}, {"x": 1}), ({"data": {"y": 2}}, {"y": 2}), (None, None)],
)  # fmt: skip
def test_a_plain_read_takes_any_json(body: Any, data: Any) -> None:
    verdict = judged(READ, 200, body)
    assert (verdict.fate, verdict.data) == (Fate.DONE, data)


# Nobody can read it

UNREADABLE = [
    b"",
    b"  \n",
    b"{",
    b'{"code": 200',
    b"ok",
    b"\xff\xfe\x00",
    b"[" * 100_000,
    b"1" * 6000,
    b"{}x",
]


@pytest.mark.parametrize("request_", [LIST, *WRITES], ids=lambda request: request.action)
@pytest.mark.parametrize("body", UNREADABLE, ids=lambda body: repr(body[:9]))
@pytest.mark.parametrize("status", [200, 201, 202])
def test_a_2xx_that_is_no_json_proves_nothing(request_: Request, body: bytes, status: int) -> None:
    verdict = judged(request_, status, body)
    assert verdict.fate is Fate.MAYBE
    assert isinstance(verdict.error, errors.ResponseError)
    assert str(verdict.error).startswith(describe(request_))


@pytest.mark.parametrize("request_", WRITES, ids=lambda request: request.action)
@pytest.mark.parametrize(
    "body", [{}, [], [{"code": 200}], "done", 5, None, True, {"error": "x"}, {"code": 200, "data": {}, "error": "x"}, {"code": None}, {"code": True}, {"code": "ok"}],
    ids=repr,
)  # fmt: skip
def test_a_write_is_not_done_by_json_that_is_no_envelope(request_: Request, body: Any) -> None:
    verdict = judged(request_, 200, body)
    assert verdict.fate is Fate.MAYBE
    assert isinstance(verdict.error, errors.ResponseError)


@pytest.mark.parametrize(
    "body", [{}, [], {"code": 200}, {"code": 200, "data": None}, {"data": {}}, {"data": "x"}, [{"image_id": 1}], "x", None],
    ids=repr,
)  # fmt: skip
def test_a_listing_needs_a_list_in_data(body: Any) -> None:
    verdict = judged(LIST, 200, body)
    assert verdict.fate is Fate.MAYBE
    assert isinstance(verdict.error, errors.ResponseError)


def test_an_empty_204_is_no_listing() -> None:
    verdict = judged(LIST, 204, b"")
    assert verdict.fate is Fate.MAYBE
    assert isinstance(verdict.error, errors.ResponseError)


@pytest.mark.parametrize("request_", [LIST, *WRITES], ids=lambda request: request.action)
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (200, errors.ResponseError),
        (202, errors.ResponseError),
        (204, errors.ResponseError),
        (400, errors.BadRequestError),
        (401, errors.AuthenticationError),
        (404, errors.NotFoundError),
        (429, errors.RateLimitedError),
        (500, errors.ServerError),
        (502, errors.ServerError),
    ],
)
@pytest.mark.parametrize(
    "page", [HTML, b" \r\n<html>", b"\xef\xbb\xbf<!-- -->", b"<?xml version='1.0'?>"]
)
def test_an_html_page_proves_nothing_whatever_its_status(
    request_: Request, status: int, kind: type[Exception], page: bytes
) -> None:
    verdict = judged(request_, status, page, 7.0)
    assert verdict.fate is Fate.MAYBE
    assert type(verdict.error) is kind
    assert "HTML page" in str(verdict.error)
    assert verdict.retry_after == 7.0
    assert not verdict.missing


@pytest.mark.parametrize("request_", [LIST, RENAME, DELETE, SAVE])
@pytest.mark.parametrize("page", [HTML, b"<html>405 Not Allowed</html>"])
def test_a_405_refuses_whatever_its_body_is(request_: Request, page: bytes) -> None:
    verdict = judged(request_, 405, page)
    assert verdict.fate is Fate.REFUSED
    assert isinstance(verdict.error, errors.APIError)
    assert verdict.error.status == 405


# The statuses, HTTP's and the envelope's

STATUSES = [
    (301, Fate.REFUSED, errors.APIError),
    (302, Fate.REFUSED, errors.APIError),
    (304, Fate.REFUSED, errors.APIError),
    (307, Fate.REFUSED, errors.APIError),
    (400, Fate.REFUSED, errors.BadRequestError),
    (401, Fate.REFUSED, errors.AuthenticationError),
    (403, Fate.REFUSED, errors.PermissionDeniedError),
    (404, Fate.REFUSED, errors.NotFoundError),
    (405, Fate.REFUSED, errors.APIError),
    (408, Fate.MAYBE, errors.APIError),
    (409, Fate.REFUSED, errors.ConflictError),
    (410, Fate.REFUSED, errors.NotFoundError),
    (412, Fate.REFUSED, errors.APIError),
    (413, Fate.REFUSED, errors.APIError),
    (418, Fate.REFUSED, errors.APIError),
    (422, Fate.REFUSED, errors.BadRequestError),
    (429, Fate.WAIT, errors.RateLimitedError),
    (500, Fate.MAYBE, errors.ServerError),
    (501, Fate.MAYBE, errors.ServerError),
    (502, Fate.MAYBE, errors.ServerError),
    (503, Fate.MAYBE, errors.ServerError),
    (504, Fate.MAYBE, errors.ServerError),
    (599, Fate.MAYBE, errors.ServerError),
]


@pytest.mark.parametrize(
    "request_", [LIST, READ, *WRITES], ids=lambda request: f"{request.method}-{request.action}"
)
@pytest.mark.parametrize(("status", "fate", "kind"), STATUSES)
def test_a_status_read_from_a_reply_has_its_fate_and_its_class(
    request_: Request, status: int, fate: Fate, kind: type[errors.APIError]
) -> None:
    for body in (
        {"message": "no"},
        {"code": 200, "data": [], "message": "no"},
        {"code": status, "message": "no"},
    ):
        verdict = judged(request_, status, body, 3.0)
        error = refused(verdict)
        assert (verdict.fate, type(error), error.status, verdict.http_status) == (
            fate,
            kind,
            status,
            status,
        )
        assert (error.message, error.action, error.retry_after) == ("no", request_.action, 3.0)


@pytest.mark.parametrize(
    "request_", [LIST, READ, *WRITES], ids=lambda request: f"{request.method}-{request.action}"
)
@pytest.mark.parametrize(("status", "fate", "kind"), [row for row in STATUSES if row[0] >= 400])
@pytest.mark.parametrize("key", ["code", "status_code"])
@pytest.mark.parametrize("form", [int, float, str, " {} ".format])
def test_an_envelope_code_in_a_2xx_counts_as_that_status(
    request_: Request, status: int, fate: Fate, kind: type[errors.APIError], key: str, form: Any
) -> None:
    verdict = judged(request_, 200, {key: form(status), "data": [], "message": "no"}, 3.0)
    error = refused(verdict)
    assert (verdict.fate, type(error), error.status, error.code) == (fate, kind, status, status)
    assert verdict.http_status == 200


@pytest.mark.parametrize(
    ("status", "body", "fate"),
    [
        (200, {"code": 200, "status_code": 500}, Fate.MAYBE),
        (200, {"code": 200, "status_code": 404}, Fate.REFUSED),
        (200, {"code": 404, "status_code": 500}, Fate.MAYBE),
        (200, {"code": None, "status_code": 429}, Fate.WAIT),
        (200, {"code": True, "status_code": "409"}, Fate.REFUSED),
        (400, {"code": 500}, Fate.MAYBE),
        (404, {"code": 503}, Fate.MAYBE),
        (400, {"code": 429}, Fate.WAIT),
        (500, {"code": 404}, Fate.MAYBE),
        (503, {"code": 429}, Fate.MAYBE),
        (429, {"code": 500}, Fate.MAYBE),
        (429, {"code": 400}, Fate.WAIT),
    ],
)
def test_of_two_statuses_the_one_that_proves_less_decides(
    status: int, body: Any, fate: Fate
) -> None:
    verdict = judged(RENAME, status, body | {"data": {}, "message": "no"})
    assert verdict.fate is fate


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [(400, 429, 429), (404, 500, 500), (404, 503, 503), (409, 502, 502), (400, 408, 408)],
)
def test_the_error_is_that_of_the_status_that_decided(status: int, code: int, said: int) -> None:
    error = refused(judged(RENAME, status, {"code": code, "message": "no"}))
    assert error.status == said
    assert errors.is_passing(error)


NO_CODES: tuple[Any, ...] = (
    True,
    False,
    None,
    "",
    "20",
    "4040",
    "abc",
    "٤٠٤",
    "4.4",
    404.5,
    [],
    {},
    float("nan"),
    float("inf"),
    7,
    -1,
)


@pytest.mark.parametrize("value", NO_CODES)
def test_what_is_no_code_is_not_taken_for_one(value: Any) -> None:
    assert envelope_codes({"code": value}) == []


@pytest.mark.parametrize(
    ("value", "code"), [(404, 404), (404.0, 404), ("404", 404), (" 404\n", 404), (200, 200)]
)
def test_a_code_may_be_a_number_or_three_digits(value: Any, code: int) -> None:
    assert envelope_codes({"code": value}) == [code]
    assert envelope_codes({"status_code": value}) == [code]
    assert envelope_codes({"code": value, "status_code": 500}) == [code, 500]


@pytest.mark.parametrize("content", [None, [], "x", 404])
def test_only_an_object_has_a_code_or_says_failure(content: Any) -> None:
    assert envelope_codes(content) == []
    assert not says_failure(content)


@pytest.mark.parametrize(
    "code", [1000, 1001, 4000, 10**3000, 1e300], ids=lambda code: str(code)[:6]
)
def test_a_number_above_every_status_does_not_pass_for_success(code: Any) -> None:
    verdict = judged(RENAME, 200, {"code": code, "message": "no", "data": {}})
    assert verdict.fate is not Fate.DONE


@pytest.mark.parametrize("code", [10**3000, 1e300, -(10**3000)], ids=lambda code: str(code)[:6])
def test_an_absurd_code_does_not_fill_the_error(code: Any) -> None:
    verdict = judged(RENAME, 200, {"code": code, "message": "no", "data": {}})
    assert len(str(verdict.error)) < 700
    assert len(verdict.message) < 700


@pytest.mark.parametrize("body", [b"", b"Too Many Requests", b"{"])
def test_a_429_that_is_no_json_may_come_too_late_to_refuse(body: bytes) -> None:
    verdict = judged(SAVE, 429, body, 5.0)
    assert verdict.fate is Fate.MAYBE
    assert isinstance(verdict.error, errors.RateLimitedError)
    assert verdict.retry_after == 5.0


@pytest.mark.parametrize("body", [b"[]", b'"slow down"', b"null", b"{}"])
def test_a_429_with_any_json_is_a_throttle(body: bytes) -> None:
    assert judged(SAVE, 429, body).fate is Fate.WAIT


@pytest.mark.parametrize("status", [100, 101, 102, 199])
def test_an_interim_status_is_never_a_success(status: int) -> None:
    assert judged(RENAME, status, {"code": 200, "data": {}}).fate is Fate.MAYBE


def test_a_status_without_a_name_has_a_sentence_all_the_same() -> None:
    assert "no reason given" in str(judged(RENAME, 499, b"{}").error)


# "Envelope says failure"

FAILURES: list[tuple[Any, str]] = [
    ({"errors": {"name": ["taken"]}}, "name: taken"),
    ({"errors": {"detail": ["The image is busy"]}}, "The image is busy"),
    ({"errors": {"non_field_errors": ["bad"]}}, "bad"),
    ({"errors": ["one", "two"]}, "one; two"),
    ({"errors": "just text"}, "just text"),
    ({"errors": True}, "no reason given"),
    ({"errors": True, "message": "Node quota reached"}, "Node quota reached"),
    (
        {"detail": "Authentication credentials were not provided."},
        "Authentication credentials were not provided.",
    ),
    ({"detail": ["a", "b"]}, "a; b"),
    ({"data": {"status": False}}, "no reason given"),
    ({"data": {"status": False, "message": "image is locked"}}, "image is locked"),
    (
        {"data": {"is_credit_sufficient": False}, "message": "Insufficient credit"},
        "Insufficient credit",
    ),
    ({"errors": 5}, "5"),
]


@pytest.mark.parametrize("request_", WRITES, ids=lambda request: request.action)
@pytest.mark.parametrize(("body", "message"), FAILURES, ids=repr)
def test_an_envelope_that_says_failure_refuses(request_: Request, body: Any, message: str) -> None:
    verdict = judged(request_, 200, {"code": 200, **body})
    error = refused(verdict)
    assert verdict.fate is Fate.REFUSED
    assert (error.message, error.status) == (message, 200)
    assert message in str(error)


@pytest.mark.parametrize(
    "body", [{"errors": {"x": ["y"]}}, {"errors": True}, {"detail": "no"}], ids=repr
)  # fmt: skip
def test_a_listing_that_says_failure_is_no_listing(body: Any) -> None:
    assert judged(LIST, 200, {"code": 200, "data": [], **body}).fate is Fate.REFUSED


@pytest.mark.parametrize(
    "body", [{"code": float("nan")}, {"code": float("inf")}, {"code": "500.0"}, {"code": "E500"}, {"code": -500}, {"code": 500.5},
             {"code": 0}, {"code": True}, {"code": [500]}, {"status_code": "x"}, {"error": "no"}, {"success": False},
             {"status": "error"}, {"status": False}, {"code": 200, "status": "Failed"}],
    ids=repr,
)  # fmt: skip
def test_what_is_no_success_that_anybody_knows_proves_nothing(body: Any) -> None:
    assert judged(DELETE, 200, {"data": {}, "message": "m", **body}).fate is Fate.MAYBE
    assert judged(LIST, 200, {"data": [], **body}).fate is Fate.MAYBE


@pytest.mark.parametrize(
    "data", [{"status": True}, {"status": None}, {"status": 0}, {"status": ""}, {"status": "done"}, {}, None, "x", [False]],
    ids=repr,
)  # fmt: skip
def test_only_an_explicit_false_is_a_failure(data: Any) -> None:
    assert judged(DELETE, 200, {"code": 200, "data": data}).fate is Fate.DONE


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"message": "A", "detail": "B"}, "A"),
        ({"message": "Success", "detail": "B"}, "B"),
        ({"message": " ok ", "detail": "B"}, "B"),
        ({"message": "", "detail": {"x": ["B"]}}, "x: B"),
        ({"message": None, "errors": ["C"]}, "C"),
        ({"error": "D", "data": {"message": "E"}}, "D"),
        ({"error": {"x": 1}, "data": {"message": "E"}}, "E"),
        ({"data": {"message": 5}}, ""),
        ({"data": "text"}, ""),
        ({"message": ["list"]}, ""),
        ({}, ""),
    ],
)
def test_the_message_is_the_first_text_that_says_something(content: Any, text: str) -> None:
    assert spoken(content) == text


@pytest.mark.parametrize(
    ("errors_", "sentences"),
    [
        (None, []),
        (True, []),
        (False, []),
        ({}, []),
        ("x", ["x"]),
        (5, ["5"]),
        (["a", {"b": "c"}, None, ["d"]], ["a", "b: c", "d"]),
        ({"a": {"b": "c"}, "d": {}}, ["a: b: c"]),
        ({"a": {"b": {"c": {"d": "lost"}}}}, []),
        ({"detail": {"name": ["x", "y"]}}, ["name: x", "name: y"]),
    ],
)
def test_errors_of_any_shape_become_sentences(errors_: Any, sentences: list[str]) -> None:
    assert flatten(errors_) == sentences


def test_endless_errors_become_a_few_dozen_sentences() -> None:
    wide: Any = {str(i): {str(j): ["x" * 400] * 50 for j in range(50)} for i in range(50)}
    error = refused(judged(RENAME, 200, {"code": 400, "errors": wide}))
    assert 0 < len(error.errors) <= 60
    assert len(str(error)) < 1000


# Secrets and control characters


@pytest.mark.parametrize("place", ["message", "detail", "errors", "error"])
@pytest.mark.parametrize("status", [200, 400, 429, 500])
def test_what_the_server_echoes_is_redacted_escaped_and_cut(place: str, status: int) -> None:
    text = f"at /images/?apikey={KEY} \x1b[31m\ud800 " + "x" * 5000
    verdict = judged(RENAME, status, {place: text, "data": {}})
    if status == 200 and place == "error":
        assert KEY not in verdict.message
        assert len(verdict.message) <= 500
        return
    shown = [verdict.message]
    if isinstance(verdict.error, errors.APIError):
        shown += [
            str(verdict.error),
            verdict.error.message,
            repr(verdict.error),
            *verdict.error.errors,
        ]
    for said in shown:
        assert KEY not in said
        assert "\x1b" not in said
        assert "\ud800" not in said
        assert len(said) < 1000


def test_the_name_of_a_json_key_is_redacted_too() -> None:
    error = refused(judged(RENAME, 400, {"errors": {KEY: ["x"]}}))
    assert KEY not in str(error)
    assert KEY not in repr(vars(error))


@pytest.mark.parametrize("body", [*UNREADABLE, KEY.encode(), b'{"a": ' + KEY.encode()])
def test_the_error_of_an_unreadable_reply_quotes_nothing_of_it(body: bytes) -> None:
    error = judged(RENAME, 200, body).error
    assert error is not None
    assert KEY not in str(error)
    assert len(str(error)) < 200


# No reply


@pytest.mark.parametrize(("sent", "fate"), [(True, Fate.MAYBE), (False, Fate.NOT_SENT)])
def test_only_what_was_never_sent_was_surely_not_carried_out(sent: bool, fate: Fate) -> None:
    error = errors.ConnectionLostError("x", sent=sent)
    verdict = judge_failure(WRITE, error, sent=sent)
    assert (verdict.fate, verdict.http_status) == (fate, None)
    assert isinstance(verdict.error, errors.ConnectionLostError)
    assert (str(verdict.error), verdict.error.sent) == ("request to nodes/: x", sent)


# Missing


@pytest.mark.parametrize(
    ("status", "body", "missing"),
    [
        (404, {"message": "Image not found"}, True),
        (404, {}, True),
        (410, {"message": "gone"}, True),
        (412, {"message": "Image does not exist"}, True),
        (412, {"message": "name already exists"}, False),
        (404, {"message": "Project not found"}, False),
        (412, {"errors": {"detail": ["Project not found"]}}, False),
        (400, {"message": "not found"}, False),
        (500, {"message": "not found"}, False),
        (200, {"code": 404, "message": "no such image"}, True),
    ],
)
def test_a_missing_image_is_told_from_a_missing_project(
    status: int, body: Any, missing: bool
) -> None:
    assert judged(DELETE, status, body).missing is missing


# Anything at all

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["code", "status_code", "data", "errors", "message", "detail", "status", "error"]
            )
            | st.text(max_size=5),
            inner,
            max_size=6,
        )
    ),
    max_leaves=20,
)


@given(request_=st.sampled_from([LIST, READ, *WRITES]), status=st.integers(100, 999), content=_json)
def test_any_reply_gets_a_verdict_and_only_success_is_without_an_error(
    request_: Request, status: int, content: Any
) -> None:
    verdict = judged(request_, status, content)
    assert verdict.fate is not Fate.NOT_SENT
    assert (verdict.error is None) == (verdict.fate is Fate.DONE)
    if verdict.fate is Fate.DONE:
        assert 200 <= status < 300
        assert request_ is not LIST or isinstance(verdict.data, list)
    else:
        assert str(verdict.error).startswith(describe(request_))


@given(
    request_=st.sampled_from([LIST, READ, *WRITES]),
    status=st.integers(100, 999),
    body=st.binary(max_size=200),
)
def test_any_bytes_get_a_verdict(request_: Request, status: int, body: bytes) -> None:
    verdict = judged(request_, status, body)
    assert (verdict.error is None) == (verdict.fate is Fate.DONE)


@pytest.mark.parametrize(
    ("status", "more", "partial"),
    [(200, {}, False), (206, {}, True), (203, {}, True), (200, {"total_count": 3}, True), (200, {"total_count": 1}, False),
     (200, {"total_count": "3"}, False), (200, {"total_page_number": 2}, True), (200, {"total_page_number": 1}, False)],
)  # fmt: skip
def test_a_listing_that_may_not_be_whole_is_known_as_such(
    status: int, more: dict[str, Any], partial: bool
) -> None:
    verdict = judged(LIST, status, {"code": 200, "data": [{"image_id": "1"}], **more})
    assert (verdict.fate, verdict.partial) == (Fate.DONE, partial)


# Replies about something else


@pytest.mark.parametrize(("named", "fate"), [
    ("101", Fate.DONE), (101, Fate.DONE), (" 101 ", Fate.DONE), (None, Fate.DONE), ("", Fate.DONE),
    ([], Fate.DONE), (True, Fate.DONE), ("102", Fate.MAYBE), (102, Fate.MAYBE),
])  # fmt: skip
def test_a_reply_to_a_save_that_names_another_node_proves_nothing(named: Any, fate: Fate) -> None:
    save = encode(Action.SAVE, "101", "nightly", Dialect.DOCUMENTED)
    verdict = judged(
        save, 202, {"code": 200, "data": {"id": 7, "resource_id": named}, "errors": {}}
    )
    assert verdict.fate is fate
    if fate is Fate.MAYBE:
        assert "$.data.resource_id" in str(verdict.error)

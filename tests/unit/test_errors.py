"""Every error prints, pickles, copies and sorts as one tree."""

from __future__ import annotations

import copy
import inspect
import pickle
import traceback

import pytest

from aioe2e import errors
from aioe2e._wire import Fate, fate_of
from aioe2e.bulk import BulkError
from aioe2e.errors import (
    AmbiguousNameError,
    APIError,
    AttemptTimeoutError,
    AuthenticationError,
    BadRequestError,
    ConfigError,
    ConflictError,
    ConnectError,
    ConnectionLostError,
    DeadlineExceededError,
    E2EError,
    GuardError,
    ImageFailedError,
    NodeFailedError,
    NotFoundError,
    OutcomeUnknownError,
    PermissionDeniedError,
    RateLimitedError,
    ResponseError,
    ServerError,
    SessionError,
    SkippedError,
    TransportError,
    UsageError,
    WaitTimeoutError,
    extended,
    is_passing,
    is_transient_status,
)

LOST = ConnectionLostError("the connection failed", sent=True, attempts=2)
TAKEN = ConflictError(
    "rename of image 5: the server answered 409: name taken",
    status=409,
    code=412,
    message="name taken",
    errors=["a", "b"],
    retry_after=1.5,
    action="rename",
    attempts=3,
)

EXAMPLES: list[E2EError] = [
    E2EError("text", attempts=1),
    ConfigError("Limits.in_flight must be 1"),
    UsageError("two problems", problems=["a", "b"]),
    UsageError("one problem"),
    SessionError("closed"),
    TransportError("x", sent=True),
    ConnectError("x", sent=False, attempts=4),
    LOST,
    AttemptTimeoutError("too slow", sent=True, attempts=1),
    OutcomeUnknownError("sent once", action="save", target="5", attempts=1, last=LOST),
    DeadlineExceededError("late", attempts=2, last=LOST),
    *(kind("text", status=status, message="m") for kind, status in (
        (APIError, 405), (BadRequestError, 400), (AuthenticationError, 401), (PermissionDeniedError, 403),
        (NotFoundError, 404), (RateLimitedError, 429), (ServerError, 503))),
    TAKEN,
    ResponseError("unreadable", problems=["$.data[3].image_id: missing"], attempts=1),
    ImageFailedError("image 5 failed", image_id="5"),
    NodeFailedError("node 5 failed", node_id="5"),
    AmbiguousNameError("2 images may be meant", image_ids=["5", "6"]),
    WaitTimeoutError("not in time"),
    GuardError("image 5: another process writes"),
    SkippedError("the run was stopped"),
    ConnectError("no connection", subject="rename of image 5", sent=False, attempts=1),
    BulkError("2 of 3 steps did not end well", [LOST, TAKEN]),
]  # fmt: skip
IDS = [type(error).__name__ for error in EXAMPLES]

TREE = {
    ConfigError: (E2EError, ValueError),
    GuardError: (E2EError,),
    UsageError: (E2EError, ValueError),
    SessionError: (E2EError, RuntimeError),
    TransportError: (E2EError,),
    ConnectError: (TransportError,),
    ConnectionLostError: (TransportError,),
    AttemptTimeoutError: (TransportError, TimeoutError),
    OutcomeUnknownError: (E2EError,),
    DeadlineExceededError: (E2EError, TimeoutError),
    APIError: (E2EError,),
    BadRequestError: (APIError,),
    AuthenticationError: (APIError,),
    PermissionDeniedError: (APIError,),
    NotFoundError: (APIError,),
    ConflictError: (APIError,),
    RateLimitedError: (APIError,),
    ServerError: (APIError,),
    ResponseError: (E2EError,),
    ImageFailedError: (E2EError,),
    NodeFailedError: (E2EError,),
    AmbiguousNameError: (E2EError,),
    WaitTimeoutError: (E2EError, TimeoutError),
    SkippedError: (E2EError,),
    BulkError: (E2EError, ExceptionGroup),
}


@pytest.mark.parametrize("kind", TREE)
def test_the_tree_is_as_promised(kind: type[E2EError]) -> None:
    assert kind.__bases__ == TREE[kind] or kind is BulkError
    assert issubclass(kind, TREE[kind])


def test_no_class_is_without_an_example() -> None:
    made = {type(error) for error in EXAMPLES}
    classes = {
        value
        for _, value in inspect.getmembers(errors, inspect.isclass)
        if issubclass(value, E2EError)
    } | {BulkError}
    assert made == classes
    assert set(TREE) | {E2EError} == classes


def same(again: BaseException, error: E2EError) -> None:
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert repr(again) == repr(error)
    assert repr(again.args) == repr(error.args)
    mine, theirs = dict(vars(error)), dict(vars(again))
    for state in (mine, theirs):
        state.pop("__notes__", None)
    assert repr(theirs) == repr(mine)


@pytest.mark.parametrize("error", EXAMPLES, ids=IDS)
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_every_error_survives_pickle(error: E2EError, protocol: int) -> None:
    same(pickle.loads(pickle.dumps(error, protocol)), error)


@pytest.mark.parametrize("error", EXAMPLES, ids=IDS)
def test_every_error_survives_copies_and_the_copy_can_be_raised(error: E2EError) -> None:
    for again in (copy.copy(error), copy.deepcopy(error)):
        assert again is not error
        same(again, error)
        with pytest.raises(type(error)):
            raise again


@pytest.mark.parametrize("error", EXAMPLES, ids=IDS)
def test_notes_and_a_changed_text_survive_pickle(error: E2EError) -> None:
    error = copy.copy(error)
    error.add_note("on the second node")
    again = pickle.loads(pickle.dumps(error))
    assert again.__notes__ == ["on the second node"]
    if not isinstance(error, BulkError):
        error.args = (f"{error} (given up)",)
        assert str(pickle.loads(pickle.dumps(error))).endswith("(given up)")


@pytest.mark.parametrize(
    "error", [error for error in EXAMPLES if not isinstance(error, BulkError)], ids=IDS[:-1]
)
def test_an_error_has_one_text_in_args(error: E2EError) -> None:
    assert error.args == (str(error),)
    assert str(error)
    assert str(error) in "".join(traceback.format_exception_only(error))


def test_details_stand_in_attributes() -> None:
    assert (TAKEN.status, TAKEN.code, TAKEN.message, TAKEN.errors) == (
        409,
        412,
        "name taken",
        ("a", "b"),
    )
    assert (TAKEN.retry_after, TAKEN.action, TAKEN.attempts) == (1.5, "rename", 3)
    unknown = OutcomeUnknownError("x", action="save", target="5", attempts=1, last=LOST)
    assert (unknown.action, unknown.target, unknown.attempts, unknown.last) == (
        "save",
        "5",
        1,
        LOST,
    )
    assert UsageError("two", problems=["a", "b"]).problems == ("a", "b")
    assert UsageError("one").problems == ("one",)
    assert ResponseError("one").problems == ("one",)
    assert SkippedError("why").reason == "why"
    assert not NotFoundError("x", status=404).confirmed
    assert E2EError("x").attempts == 0
    assert BulkError("x", [LOST, TAKEN]).attempts == 5
    assert BulkError("x", [LOST]).report is None


def test_except_star_sorts_the_steps_of_a_run_by_cause() -> None:
    caught: dict[str, tuple[BaseException, ...]] = {}
    try:
        raise BulkError("3 of 9", [LOST, TAKEN, SkippedError("stopped")])
    except* TransportError as group:
        caught["lost"] = group.exceptions
    except* APIError as group:
        caught["no"] = group.exceptions
    except* E2EError as group:
        caught["rest"] = group.exceptions
    assert caught["lost"] == (LOST,)
    assert caught["no"] == (TAKEN,)
    assert [type(error) for error in caught["rest"]] == [SkippedError]


def test_the_parts_of_a_bulk_error_are_bulk_errors() -> None:
    whole = BulkError("2 of 3", [LOST, TAKEN])
    part, rest = whole.split(APIError)
    assert isinstance(part, BulkError)
    assert isinstance(rest, BulkError)
    assert (part.exceptions, rest.exceptions) == ((TAKEN,), (LOST,))
    assert whole.subgroup(SkippedError) is None
    assert isinstance(whole, ExceptionGroup)
    assert whole.derive([LOST]).message == "2 of 3"


def test_a_bulk_error_is_caught_as_an_error_of_the_library() -> None:
    with pytest.raises(E2EError, match="2 of 3"):
        raise BulkError("2 of 3", [LOST, TAKEN])


def test_a_bulk_error_needs_errors() -> None:
    with pytest.raises(ValueError, match="non-empty"):
        BulkError("none", [])


PASSING = [
    (ConnectError("x", sent=False), True),
    (ConnectionLostError("x", sent=True), True),
    (AttemptTimeoutError("x", sent=True), True),
    (ResponseError("x"), True),
    (DeadlineExceededError("x"), True),
    (OutcomeUnknownError("x", action="rename", target="5"), True),
    *((APIError("x", status=status), status in (408, 429) or status >= 500)
      for status in (200, 301, 400, 401, 403, 404, 405, 408, 409, 410, 412, 418, 422, 425, 429, 500, 501, 502, 503, 504, 599)),
    (RateLimitedError("x", status=429), True),
    (ServerError("x", status=503), True),
    (NotFoundError("x", status=404), False),
    (ConfigError("a token that could not be fetched"), True),
    (UsageError("x"), False),
    (SessionError("x"), False),
    (SkippedError("x"), False),
    (ImageFailedError("x", image_id="5"), False),
    (NodeFailedError("x", node_id="5"), False),
    (AmbiguousNameError("x", image_ids=[]), False),
    (WaitTimeoutError("x"), False),
    (None, False),
]  # fmt: skip


@pytest.mark.parametrize(("error", "passing"), PASSING, ids=lambda value: f"{type(value).__name__}")
def test_only_a_fault_that_passes_is_worth_another_run(
    error: E2EError | None, passing: bool
) -> None:
    assert is_passing(error) is passing


def test_a_status_passes_unless_it_proves_a_refusal() -> None:
    transient = {status for status in range(400, 600) if is_transient_status(status)}
    assert transient == {
        status for status in range(400, 600) if fate_of(status) is not Fate.REFUSED
    }


# What was tried, and why it failed


def test_the_text_is_the_subject_and_the_detail() -> None:
    error = ConnectError("no connection", subject="rename of image 5", sent=False)
    assert str(error) == "rename of image 5: no connection"
    assert (error.subject, error.detail) == ("rename of image 5", "no connection")
    assert str(E2EError("text")) == E2EError("text").detail == "text"


def test_an_extended_error_is_a_new_one_and_the_given_one_stays() -> None:
    error = NotFoundError("no such image", subject="delete of image 5", status=404)
    try:
        raise error
    except NotFoundError:
        more = extended(error, " (given up)", confirmed=True, attempts=3)
    assert str(more) == "delete of image 5: no such image (given up)"
    assert (type(more), more.status, more.confirmed, more.attempts) == (NotFoundError, 404, True, 3)
    assert (more.__traceback__, more.__context__) == (None, None)
    assert (str(error), error.confirmed) == ("delete of image 5: no such image", False)

"""What the API answers: who may ask, in which dialects, and what each action does."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, TypeAlias

import attrs

from aioe2e.testing.net import (
    ACTIONS,
    DIALECTS,
    WRITES,
    RecordedRequest,
    WireReply,
    detail,
    refusal,
    success,
    success_wire,
)

from . import catalogue
from .places import Place, place_in
from .records import Record
from .rules import Rules
from .seed import NODE_DETAILS
from .store import Cause, Refused, Store


@attrs.frozen(kw_only=True, slots=False)
class Account:
    """Who may ask, and in which dialects."""

    #: What the query's ``apikey``, or the header ``X-API-Key``, must be.
    api_key: str
    #: What must follow ``Authorization: Bearer``.
    auth_token: str
    #: Names of the `DIALECTS` that are spoken.
    dialects: Collection[str] = tuple(DIALECTS)
    #: How it behaves.
    rules: Rules = attrs.Factory(Rules)

    @cached_property
    def spoken(self) -> frozenset[tuple[str, str]]:
        """The pairs of method and form that are accepted."""
        return frozenset(pair for dialect in self.dialects for pair in DIALECTS[dialect])


@attrs.frozen
class _Task:
    """A request that was not refused, and what it is about."""

    call: RecordedRequest
    store: Store
    account: Account
    place: Place
    late: bool
    lag: float

    @property
    def cause(self) -> Cause:
        return Cause(self.call.index, late=self.late)


def answer(
    call: RecordedRequest,
    store: Store,
    account: Account,
    *,
    late: bool = False,
    lag: float = 0.0,
) -> WireReply:
    """Carry a request out and say what the API says.

    Args:
        call: The request.
        store: The account's state.
        account: Who may ask.
        late: Whether its connection has gone meanwhile.
        lag: Seconds by which a listing is out of date, on top of what the rules say.
    """
    for refuse in _REFUSALS:
        if (refused := refuse(call, account)) is not None:
            return refused
    if call.method == "OPTIONS":
        return success({}).with_headers(("Allow", _allowed(call, account, "HEAD", "OPTIONS")))
    place = place_in(call.query, store.home)
    task = _Task(call, store, account, place, late, lag + account.rules.listing_lag)
    try:
        with store.lock:
            return _ENDPOINTS[call.form](task)
    except Refused as error:
        return refusal(error.status, error.message)


_Refuse: TypeAlias = Callable[[RecordedRequest, Account], WireReply | None]


def _refuse_stranger(call: RecordedRequest, account: Account) -> WireReply | None:
    """Refuse a request without the right key and token."""
    key = call.query.get("apikey") or call.headers.get("X-API-Key")
    token = call.headers.get("Authorization")
    if not key or not token:
        return detail(401, "Authentication credentials were not provided.")
    if token != f"Bearer {account.auth_token}":
        return detail(401, "Unauthorized")
    if key != account.api_key:
        return detail(403, "Authentication credentials were not provided.")
    return None


def _refuse_incomplete(call: RecordedRequest, account: Account) -> WireReply | None:
    """Refuse a request without a parameter that the rules require."""
    for name in account.rules.required_query:
        if not call.query.get(name):
            return _invalid(name, f"{name} is required", "This field is required.")
    return None


def _refuse_project(call: RecordedRequest, account: Account) -> WireReply | None:
    """Refuse a project that is misspelt or does not exist."""
    project = call.query.get("project_id")
    if not project:
        return None
    if not re.fullmatch("[0-9]+", project):
        return _invalid("project_id", "Invalid project_id", "A valid integer is required.")
    if not _exists(project, account.rules.projects):
        return refusal(404, "Project not found")
    return None


def _refuse_location(call: RecordedRequest, account: Account) -> WireReply | None:
    """Refuse a location that does not exist."""
    location = call.query.get("location")
    if not location or _exists(location, account.rules.locations):
        return None
    return _invalid("location", "Invalid location", f'"{location}" is not a valid choice.')


def _exists(name: str, among: Collection[str] | None) -> bool:
    """Whether a project or a location exists; where the rules name none, all do."""
    return among is None or name in among


def _invalid(field: str, message: str, text: str) -> WireReply:
    return refusal(400, message, {field: [text]})


def _refuse_route(call: RecordedRequest, account: Account) -> WireReply | None:
    """Refuse a path where nothing is served, and a method that it does not take."""
    if call.method == "OPTIONS" and call.url == "*":  # asks about the server as a whole
        return None
    if not _is_served(call, account.rules):
        return refusal(404, f"The emulator serves nothing at {call.path}")
    if call.method in _questions(call):
        return None
    if call.method not in call.route.methods:
        return _not_allowed(call, account)
    if call.action in _READS:
        return None
    return _refuse_write(call, account)


def _is_served(call: RecordedRequest, rules: Rules) -> bool:
    if rules.strict_slash and not call.path.endswith("/"):
        return False
    return bool(call.route.methods)


def _questions(call: RecordedRequest) -> set[str]:
    """The methods that ask about the path of a request, or for the head of its reply."""
    if "GET" in call.route.methods:
        return {"OPTIONS", "HEAD"}
    return {"OPTIONS"}


def _refuse_write(call: RecordedRequest, account: Account) -> WireReply | None:
    """Refuse a write in a dialect that is not spoken, or by a token that may only read."""
    if call.method not in _methods_for(call, account):
        return _not_allowed(call, account)
    if account.rules.read_only:
        return detail(403, "You do not have permission to perform this action.")
    return None


#: In this order; the first that refuses a request answers it.
_REFUSALS: tuple[_Refuse, ...] = (
    _refuse_stranger,
    _refuse_incomplete,
    _refuse_project,
    _refuse_location,
    _refuse_route,
)
#: Actions that change nothing.
_READS = frozenset(ACTIONS) - WRITES - {"unknown"}


def _methods_for(call: RecordedRequest, account: Account) -> set[str]:
    """The methods with which the spoken dialects do on this path what a request asks for.

    If it asks for an unknown action: those that do anything there.
    """
    forms = call.route.forms if call.form == "unknown" else {call.form}
    spoken = {method for method, form in account.spoken if form in forms}
    return spoken.intersection(call.route.methods)


def _allowed(call: RecordedRequest, account: Account, *more: str) -> str:
    methods = _methods_for(call, account) | set(more)
    if "GET" in call.route.methods:
        methods.add("GET")
    return ", ".join(sorted(methods))


def _not_allowed(call: RecordedRequest, account: Account) -> WireReply:
    # Named are only methods for this action; others on the same path do something else.
    refused = detail(account.rules.refuse_dialect_with, f'Method "{call.method}" not allowed.')
    return refused.with_headers(("Allow", _allowed(call, account)))


def _required_name(call: RecordedRequest) -> str:
    name = call.field("name")
    if not isinstance(name, str | None):
        raise Refused(400, "Validation failed: name must be a string")
    if not name or name.isspace():
        raise Refused(400, "Validation failed: name may not be blank")
    return name


def _unknown(task: _Task) -> WireReply:
    if task.call.unreadable:
        return refusal(400, "JSON parse error: the body is not valid JSON")
    return refusal(400, "Validation failed: no such action")


def pretended(call: RecordedRequest) -> WireReply:
    """What a success looks like, for a fault that shows a part of it without doing anything."""
    return _PRETENDED[call.action](call)


def _renamed() -> WireReply:
    return success({"status": True, "message": "Image name changed successfully"})


def _deleted() -> WireReply:
    # A Go client of the vendor's checks `status`; the document does not show a reply.
    return success({"status": True, "message": "Image deleted successfully"})


def _saved(call: RecordedRequest, action_id: int, image_id: str | None) -> WireReply:
    """A save that was accepted: as the document shows it (202), or as new clients meet it (200)."""
    data: dict[str, Any] = {
        "id": action_id,
        "created_at": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        "resource_id": call.target,
    }
    if image_id is not None:
        data["image_id"] = image_id
    if call.method == "POST":
        return success(data | {"status": "done", "action_type": "save_images"}, status=202)
    return success(data | {"status": "In Progress", "action_type": "Save Image"})


_PRETENDED: Mapping[str, Callable[[RecordedRequest], WireReply]] = {
    "save": lambda call: _saved(call, 0, None),
    "rename": lambda _: _renamed(),
    "delete": lambda _: _deleted(),
}


def _rename(task: _Task) -> WireReply:
    name = _required_name(task.call)
    task.store.rename(task.call.target, name, task.cause, place=task.place)
    return _renamed()


def _delete(task: _Task) -> WireReply:
    task.store.delete(task.call.target, task.cause, place=task.place)
    return _deleted()


def _save(task: _Task) -> WireReply:
    call = task.call
    name = _required_name(call)
    action_id, image_id = task.store.save(call.target, name, task.cause, place=task.place)
    shown = image_id if task.account.rules.image_id_in_save else None
    return _saved(call, action_id, shown)


def _listed_images(task: _Task) -> WireReply:
    return success_wire(task.store.listing(task.lag, place=task.place))


def _image(task: _Task) -> WireReply:
    return success_wire(task.store.image(task.call.target, task.place).wire)


def _node(task: _Task) -> WireReply:
    return success_wire(task.store.node(task.call.target, task.place).wire)


def _listed_nodes(task: _Task) -> WireReply:
    task.store.advance()
    nodes = [node for _, node in task.store.nodes.at(task.place)]
    most = task.account.rules.nodes_per_page or max(len(nodes), 1)
    try:
        asked = int(task.call.query.get("per_page") or most)
        page = int(task.call.query.get("page_no") or 1)
    except ValueError:
        return refusal(400, "Invalid page")
    per_page, page = min(max(asked, 1), most), max(page, 1)
    shown = [_row(node) for node in nodes[(page - 1) * per_page : page * per_page]]
    counts = b', "total_count": %d, "total_page_number": %d'
    pages = -(-len(nodes) // per_page)
    return success_wire(json.dumps(shown).encode(), counts % (len(nodes), pages))


def _row(node: Record) -> dict[str, Any]:
    return {field: value for field, value in node.items() if field not in NODE_DETAILS}


_ENDPOINTS: Mapping[str, Callable[[_Task], WireReply]] = {
    "list": _listed_images,
    "get": _image,
    "catalogue": lambda task: success(catalogue.plans(task.place.location)),
    "categories": lambda _: success(catalogue.categories()),
    "nodes": _listed_nodes,
    "node": _node,
    "identity": lambda task: success(catalogue.identity(task.store.home)),
    "account": lambda task: success(catalogue.profile(task.store.home)),
    "rename": _rename,
    "delete": _delete,
    "save": _save,
    "save-by-node-path": _save,
    "unknown": _unknown,
}

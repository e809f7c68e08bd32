"""What the API answers: who may ask, in which dialect, and what each action does to the store. No
sockets."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import cached_property
from typing import Any

import attrs

from aioe2e.testing.net import replies
from aioe2e.testing.net.calls import DIALECTS, WRITES, Call
from aioe2e.testing.net.replies import Reply

from .rules import Rules
from .store import Cause, Refused, Store


@attrs.frozen(kw_only=True, slots=False)
class Account:
    """Who may ask, and in which dialects.

    Attributes:
        api_key: What the query's ``apikey``, or the header ``X-API-Key``, has to be.
        auth_token: What has to follow ``Authorization: Bearer``.
        dialects: Names of the `DIALECTS` that are spoken.
        rules: The rest.
    """

    api_key: str
    auth_token: str
    dialects: Collection[str] = tuple(DIALECTS)
    rules: Rules = attrs.Factory(Rules)

    @cached_property
    def spoken(self) -> frozenset[tuple[str, str]]:
        """The pairs of method and action that are taken."""
        return frozenset(pair for dialect in self.dialects for pair in DIALECTS[dialect])


@attrs.frozen
class _Task:
    """A request that is good so far, and what it is about."""

    call: Call
    store: Store
    account: Account
    late: bool
    lag: float

    @property
    def cause(self) -> Cause:
        return Cause(self.call.index, late=self.late)


def answer(
    call: Call, store: Store, account: Account, *, late: bool = False, lag: float = 0.0
) -> Reply:
    """Carry a request out and say what the API says.

    Args:
        call: The request.
        store: The account's state.
        account: Who may ask.
        late: Its connection has gone meanwhile.
        lag: Seconds by which a listing is out of date, beyond what the rules say.
    """
    if (no := _refuse_stranger(call, account) or _refuse_route(call, account)) is not None:
        return no
    try:
        with store.lock:
            return _ENDPOINTS[call.action](
                _Task(call, store, account, late, lag + account.rules.listing_lag)
            )
    except Refused as refused:
        return replies.refusal(refused.status, refused.message)


def _refuse_stranger(call: Call, account: Account) -> Reply | None:
    key = call.query.get("apikey") or call.headers.get("X-API-Key")
    token = call.headers.get("Authorization")
    if not key or not token:
        return replies.detail(401, "Authentication credentials were not provided.")
    if token.removeprefix("Bearer ") != account.auth_token or not token.startswith("Bearer "):
        return replies.detail(401, "Unauthorized")
    if key != account.api_key:
        return replies.detail(403, "Authentication credentials were not provided.")
    if missing := [name for name in account.rules.required_query if not call.query.get(name)]:
        return replies.refusal(
            400, f"{missing[0]} is required", {missing[0]: ["This field is required."]}
        )
    projects, project = account.rules.projects, call.query.get("project_id")
    if projects is not None and project is not None and project not in projects:
        return replies.refusal(404, "Project not found")
    return None


def _refuse_route(call: Call, account: Account) -> Reply | None:
    if not call.routed or (account.rules.strict_slash and not call.path.endswith("/")):
        return replies.html(404, "The requested URL was not found on this server.")
    if call.method not in call.allowed:
        return _not_allowed(call, account)
    if call.action in WRITES or call.action == "unknown":
        # An unknown action under a method of which the spoken dialects know nothing is a wrong
        # method first.
        pairs = account.spoken
        known = (
            (call.method, call.action) in pairs
            if call.action != "unknown"
            else any(method == call.method for method, _ in pairs)
        )
        if not known:
            return _not_allowed(call, account)
        if account.rules.read_only:
            return replies.detail(403, "You do not have permission to perform this action.")
    return None


def _not_allowed(call: Call, account: Account) -> Reply:
    # A method that is fine for another action on the same path is no way out for this one.
    spoken = {method for method, action in account.spoken if call.action in (action, "unknown")} | {
        "GET"
    }
    allow = ", ".join(sorted(spoken.intersection(call.allowed)))
    return replies.detail(
        account.rules.refuse_dialect_with, f'Method "{call.method}" not allowed.'
    ).with_headers(("Allow", allow))


def _required_name(call: Call) -> str:
    if not isinstance(name := call.field("name"), str | None):
        raise Refused(400, "Validation failed: name must be a string")
    if name is None or not name.strip():
        raise Refused(400, "Validation failed: name may not be blank")
    return name


def _unknown(task: _Task) -> Reply:
    if task.call.unreadable:
        return replies.refusal(400, "JSON parse error: the body is not valid JSON")
    return replies.refusal(400, "Validation failed: no such action")


def pretended(call: Call) -> Reply:
    """What a success would look like, for a fault that shows part of a reply without doing what was
    asked."""
    return _PRETENDED[call.action](call)


_PRETENDED: Mapping[str, Callable[[Call], Reply]] = {
    "save": lambda call: replies.saved(call.target, 0, None, documented=call.method == "POST"),
    "rename": lambda _: replies.renamed(),
    "delete": lambda _: replies.deleted(),
}


def _rename(task: _Task) -> Reply:
    task.store.rename(task.call.target, _required_name(task.call), task.cause)
    return replies.renamed()


def _delete(task: _Task) -> Reply:
    task.store.delete(task.call.target, task.cause)
    return replies.deleted()


def _save(task: _Task) -> Reply:
    call = task.call
    action_id, image_id = task.store.save(call.target, _required_name(call), task.cause)
    shown = image_id if task.account.rules.image_id_in_save else None
    return replies.saved(call.target, action_id, shown, documented=call.method == "POST")


def _nodes(task: _Task) -> Reply:
    task.store.advance()
    nodes, query = list(task.store.nodes.values()), task.call.query
    try:
        per_page = max(int(query.get("per_page") or len(nodes) or 1), 1)
        page = max(int(query.get("page_no") or 1), 1)
    except ValueError:
        return replies.refusal(400, "Invalid page")
    shown = nodes[(page - 1) * per_page : page * per_page]
    pages = -(-len(nodes) // per_page)
    envelope: dict[str, Any] = {"code": 200, "data": shown, "errors": {}, "message": "Success"}
    return replies.as_json(200, envelope | {"total_count": len(nodes), "total_page_number": pages})


#: What `GET images/` is about: operating systems to choose from, nothing with an image id.
_CATALOGUE = [
    {
        "name": "CentOS",
        "distro": "CentOS-7.5",
        "category": "Linux Virtual Node",
        "location": "Delhi",
    },
    {
        "name": "Ubuntu",
        "distro": "Ubuntu-24.04",
        "category": "Linux Virtual Node",
        "location": "Delhi",
    },
    {
        "name": "Windows",
        "distro": "Windows-2022",
        "category": "Windows Virtual Node",
        "location": "Delhi",
    },
]
_ACCOUNT: dict[str, Any] = {
    "customer_id": 1,
    "email": "someone@example.com",
    "project_id": 12345,
    "projects": [],
}

_ENDPOINTS: Mapping[str, Callable[[_Task], Reply]] = {
    "list": lambda task: replies.success_wire(task.store.listing(task.lag)),
    "get": lambda task: replies.success_wire(task.store.image(task.call.target).wire),
    "catalogue": lambda _: replies.success(_CATALOGUE),
    "nodes": _nodes,
    "node": lambda task: replies.success_wire(task.store.node(task.call.target).wire),
    "account": lambda _: replies.success([_ACCOUNT]),
    "rename": _rename,
    "delete": _delete,
    "save": _save,
    "unknown": _unknown,
}

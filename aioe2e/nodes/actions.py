"""Nodes, read-only: a save needs their ids.

Facts: ``GET nodes/`` and ``GET nodes/{id}/`` stand in the vendor's reference, and its clients use
them. The list may be in pages (``page_no``): the envelope then has ``total_count`` and
``total_page_number``. No client is known to ask for a second page of nodes, so what comes back is
checked: a part of the list is never taken for the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs

from aioe2e._actions import Repeatability
from aioe2e._call import Call, Channel, Options
from aioe2e._check import LONGEST_SHOWN, require_callable, require_wait_times
from aioe2e._record import CallOrders, CallRecord
from aioe2e._text import escape, shorten
from aioe2e._wire import Request, Verdict, node_of, nodes_in_slices
from aioe2e.errors import ResponseError, UsageError
from aioe2e.models import Node, NodeLike, NodeState, WaitProgress, node_id_of

from .waits import until_state

__all__ = ["Nodes"]


class Nodes:
    """The nodes of the session's project and location, as ``session.nodes``.

    Nothing here changes a node. In addition to the errors that it lists, every coroutine may raise
    those that the coroutines of `Images` raise.
    """

    def __init__(self, channel: Channel, options: Options) -> None:
        self._channel = channel
        self._options = options

    async def list(self, match: Callable[[Node], object] | None = None) -> list[Node]:
        """Return all nodes, in the server's order.

        Sends ``GET nodes/``. If the reply reports more pages, they are requested one after the
        other, all within `Timeouts.total`. Safe to call again: it changes nothing, and is retried
        after every transient error.

        Args:
            match: Keeps the nodes for which it returns true.

        Returns:
            The nodes. A listing shows less of each than `get`; see `Node`.

        Raises:
            ResponseError: The reply is not a list of nodes, or the server does not return all
                pages. The text states how many of the total were returned.
        """
        if match is not None:
            require_callable("match", match, "lambda node: node.name.startswith('web-')")
        found: dict[str, Node] = {}
        page, more = 1, True
        until: float | None = None
        while more:
            call = Call(
                self._channel, self._options, _page(page), CallRecord(CallOrders(deadline=until))
            )
            verdict = await call.run()
            if page == 1 and self._options.timeouts.total is not None:
                until = call.sent_at + self._options.timeouts.total
            known = len(found)
            for node in await call.in_slices(
                nodes_in_slices(verdict.data, self._channel.limits.max_elements)
            ):
                found.setdefault(node.node_id, node)
            more = _is_more(verdict, page, len(found), new=len(found) > known)
            page += 1
        return [node for node in found.values() if match is None or match(node)]

    async def get(self, node: NodeLike) -> Node:
        """Return one node, in full.

        Sends ``GET nodes/{id}/``. Safe to call again: it changes nothing.

        Args:
            node: A `Node` or an id.

        Returns:
            The node as the server shows it now.

        Raises:
            NotFoundError: There is no such node in this project and location.
            ResponseError: The reply shows another node.
        """
        wanted = node_id_of(node)
        return await self._fetch(wanted, self._options, CallRecord())

    async def wait(
        self,
        node: NodeLike,
        state: NodeState = NodeState.RUNNING,
        timeout: float | None = 1800.0,
        interval: float = 5.0,
        progress: Callable[[WaitProgress], object] | None = None,
    ) -> Node:
        """Wait until a node is in a state, such as RUNNING again after a save.

        Safe to call again: it changes nothing. It survives transient errors.

        Args:
            node: A `Node` or an id.
            state: The state to wait for. A node that was powered off when it was saved returns to
                POWERED_OFF.
            timeout: Seconds until the wait fails, above 0; None for no limit.
            interval: Seconds until the second poll, 0.01 to 60; it grows to 60.
            progress: Called with a `WaitProgress` after each poll that does not end the wait.

        Returns:
            The node as the last reply shows it.

        Raises:
            NodeFailedError: The node is FAILED, and that is not the state to wait for.
            NotFoundError: There is no such node.
            WaitTimeoutError: The time is over.
        """
        wanted = node_id_of(node)
        if not isinstance(state, NodeState):  # pyright: ignore[reportUnnecessaryIsInstance]  # callers without types
            raise UsageError(f"state must be a NodeState, such as NodeState.RUNNING, not {state!r}")
        if progress is not None:
            require_callable("progress", progress, "print")
        require_wait_times(timeout, interval)
        retry = attrs.evolve(self._options.retry, attempts=1)
        once = attrs.evolve(self._options, retry=retry)

        async def look(until: float | None) -> Node:
            return await self._fetch(wanted, once, CallRecord(CallOrders(deadline=until)))

        return await until_state(
            self._channel,
            look,
            state,
            waiting_for=f"waiting for node {wanted} to be {state.value}",
            timeout=timeout,
            interval=interval,
            progress=progress,
        )

    async def _fetch(self, wanted: str, options: Options, record: CallRecord) -> Node:
        request = Request(
            "get_node", wanted, Repeatability.READ, "GET", f"nodes/{wanted}/", subject="get of node"
        )
        verdict = await Call(self._channel, options, request, record).run()
        shown = node_of(verdict.data)
        if shown.node_id != wanted:
            other = shorten(escape(shown.node_id), LONGEST_SHOWN)
            raise ResponseError(f"get of node {wanted}: the reply shows node {other}")
        return shown


def _page(number: int) -> Request:
    # The first page is asked for as every client does, without a number.
    query: Mapping[str, str] | None = None if number == 1 else {"page_no": str(number)}
    return Request(
        "list_nodes",
        "",
        Repeatability.READ,
        "GET",
        "nodes/",
        query=query,
        subject="listing the nodes",
        lists=True,
        model=Node,
    )


def _is_more(verdict: Verdict, page: int, shown: int, *, new: bool) -> bool:
    """Whether there is another page.

    Raises:
        ResponseError: The server says that there are more nodes, and does not show them.
    """
    total, pages = verdict.total, verdict.pages
    lacks_nodes = total is not None and shown < total
    lacks_pages = pages is not None and page < pages
    if not lacks_nodes and not lacks_pages:
        return False
    is_last = pages is not None and page >= pages
    if new and not is_last:
        return True
    all_of_them = f"the nodes on {pages} pages"
    if total is not None:
        all_of_them = f"{total} nodes"
    reason = f"page {page} shows none that is new"
    if is_last:
        reason = "that was the last page"
    raise ResponseError(f"listing the nodes: {shown} of {all_of_them} were shown, and {reason}")

"""Requests and replies as values, and the sockets that carry them."""

from .connection import Connection, Played, reset
from .listener import Listener
from .loop_thread import LoopThread
from .paths import ACTIONS, DIALECTS, WRITES
from .replies import (
    HTML_TYPE,
    JSON_TYPE,
    WireReply,
    as_json,
    detail,
    html,
    refusal,
    success,
    success_wire,
)
from .requests import Call, RecordedRequest
from .wire import Wire

__all__ = [
    "ACTIONS",
    "DIALECTS",
    "HTML_TYPE",
    "JSON_TYPE",
    "WRITES",
    "Call",
    "Connection",
    "Listener",
    "LoopThread",
    "Played",
    "RecordedRequest",
    "Wire",
    "WireReply",
    "as_json",
    "detail",
    "html",
    "refusal",
    "reset",
    "success",
    "success_wire",
]

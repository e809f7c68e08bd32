"""No I/O: a request to bytes, a reply to a verdict, a verdict to a model."""

from .codec import images_in_slices, node_of, nodes_in_slices, read_listing, save_action
from .json import SMALL, Unreadable, is_array, is_object, parse
from .judge import (
    Fate,
    RawReply,
    Verdict,
    fate_of,
    judge,
    judge_failure,
    told_headers,
)
from .request import LIST, Context, Request, describe, encode, in_next_dialect, plain_request
from .throttle import RATE_LIMIT_HEADERS, rate_limit, seconds_in_headers, server_time

__all__ = [
    "LIST",
    "RATE_LIMIT_HEADERS",
    "SMALL",
    "Context",
    "Fate",
    "RawReply",
    "Request",
    "Unreadable",
    "Verdict",
    "describe",
    "encode",
    "fate_of",
    "images_in_slices",
    "in_next_dialect",
    "is_array",
    "is_object",
    "judge",
    "judge_failure",
    "node_of",
    "nodes_in_slices",
    "parse",
    "plain_request",
    "rate_limit",
    "read_listing",
    "save_action",
    "seconds_in_headers",
    "server_time",
    "told_headers",
]

"""Asyncio client for the saved images of the E2E Networks cloud (the MyAccount API).

::

    async with aioe2e.Session.from_env() as session:
        for image in await session.images.list():
            print(image.image_id, image.name, image.state)
"""

from . import select
from ._version import __version__
from .bulk import BulkError, Outcome, Plan, Progress, Report, Status, Step, Stream
from .config import Credentials, Dialect, Limits, RetryPolicy, Timeouts
from .errors import (
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
)
from .events import AttemptEvent, PauseEvent
from .images.actions import Images
from .models import (
    Action,
    ActionResult,
    ImageState,
    Node,
    NodeState,
    Reply,
    SaveAction,
    SavedImage,
)
from .session import Session

__all__ = [
    "APIError",
    "Action",
    "ActionResult",
    "AttemptEvent",
    "AttemptTimeoutError",
    "AuthenticationError",
    "BadRequestError",
    "BulkError",
    "ConfigError",
    "ConflictError",
    "ConnectError",
    "ConnectionLostError",
    "Credentials",
    "DeadlineExceededError",
    "Dialect",
    "E2EError",
    "GuardError",
    "ImageFailedError",
    "ImageState",
    "Images",
    "Limits",
    "Node",
    "NodeState",
    "NotFoundError",
    "Outcome",
    "OutcomeUnknownError",
    "PauseEvent",
    "PermissionDeniedError",
    "Plan",
    "Progress",
    "RateLimitedError",
    "Reply",
    "Report",
    "ResponseError",
    "RetryPolicy",
    "SaveAction",
    "SavedImage",
    "ServerError",
    "Session",
    "SessionError",
    "SkippedError",
    "Status",
    "Step",
    "Stream",
    "Timeouts",
    "TransportError",
    "UsageError",
    "WaitTimeoutError",
    "__version__",
    "select",
]

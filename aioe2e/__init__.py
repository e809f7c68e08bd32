"""An asyncio client for the saved images of the E2E Networks cloud (the MyAccount API).

::

    async with aioe2e.Session.from_env() as session:
        for image in await session.images.list():
            print(image.image_id, image.name, image.state)

Use ``help`` on these names to learn more:

- `Session`: credentials, lifetime and views; ``session.images`` and ``session.nodes``
- `Images`: list, get, save, rename, delete and wait, for one image or many
- `Plan`, `Report`, `Status`: bulk runs and how they are resumed
- `Timeouts`, `RetryPolicy`, `Limits`: the settings
- `aioe2e.errors`: every error; see `OutcomeUnknownError` first
- `aioe2e.select`: predicates to select images
- `aioe2e.events`, `aioe2e.otel`: hooks and OpenTelemetry
- `aioe2e.fleet`: a limiter and a guard for many processes
- `aioe2e.testing`: the emulator, for tests without an account

The command line is ``python -m aioe2e --help``. ``python -m aioe2e demo`` needs no account.
"""

from . import _lazy
from ._version import __version__

TYPE_CHECKING = False  # type checkers know the name; to load `typing` for it takes time
if TYPE_CHECKING:
    from . import select
    from .bulk import BulkError, Outcome, Plan, Progress, Report, Status, Step, Stream
    from .config import (
        Credentials,
        Dialect,
        Discovery,
        FoundProfile,
        FoundSetting,
        Guard,
        Limiter,
        Limits,
        RetryPolicy,
        Timeouts,
    )
    from .diagnosis import Check, FieldReport
    from .errors import (
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
    )
    from .events import (
        AttemptEvent,
        AttemptStarted,
        CallEvent,
        CallStarted,
        Event,
        Hook,
        LimiterEvent,
        LimitEvent,
        PauseEvent,
        RetryScheduled,
        RunEvent,
        StepEvent,
    )
    from .images import Images
    from .models import (
        Action,
        ActionResult,
        ImageState,
        Node,
        NodeState,
        RateLimit,
        Reply,
        SaveAction,
        SavedImage,
        WaitProgress,
    )
    from .nodes import Nodes
    from .session import Session

__all__ = [
    "APIError",
    "Action",
    "ActionResult",
    "AmbiguousNameError",
    "AttemptEvent",
    "AttemptStarted",
    "AttemptTimeoutError",
    "AuthenticationError",
    "BadRequestError",
    "BulkError",
    "CallEvent",
    "CallStarted",
    "Check",
    "ConfigError",
    "ConflictError",
    "ConnectError",
    "ConnectionLostError",
    "Credentials",
    "DeadlineExceededError",
    "Dialect",
    "Discovery",
    "E2EError",
    "Event",
    "FieldReport",
    "FoundProfile",
    "FoundSetting",
    "Guard",
    "GuardError",
    "Hook",
    "ImageFailedError",
    "ImageState",
    "Images",
    "LimitEvent",
    "Limiter",
    "LimiterEvent",
    "Limits",
    "Node",
    "NodeFailedError",
    "NodeState",
    "Nodes",
    "NotFoundError",
    "Outcome",
    "OutcomeUnknownError",
    "PauseEvent",
    "PermissionDeniedError",
    "Plan",
    "Progress",
    "RateLimit",
    "RateLimitedError",
    "Reply",
    "Report",
    "ResponseError",
    "RetryPolicy",
    "RetryScheduled",
    "RunEvent",
    "SaveAction",
    "SavedImage",
    "ServerError",
    "Session",
    "SessionError",
    "SkippedError",
    "Status",
    "Step",
    "StepEvent",
    "Stream",
    "Timeouts",
    "TransportError",
    "UsageError",
    "WaitProgress",
    "WaitTimeoutError",
    "__version__",
    "select",
]

# A name loads its module when it is first used.
if not TYPE_CHECKING:
    __getattr__, __dir__ = _lazy.lazy_door(
        __name__,
        {
            "bulk": [
                "BulkError",
                "Outcome",
                "Plan",
                "Progress",
                "Report",
                "Status",
                "Step",
                "Stream",
            ],
            "config": [
                "Credentials",
                "Dialect",
                "Discovery",
                "FoundProfile",
                "FoundSetting",
                "Guard",
                "Limiter",
                "Limits",
                "RetryPolicy",
                "Timeouts",
            ],
            "diagnosis": ["Check", "FieldReport"],
            "errors": [
                "APIError",
                "AmbiguousNameError",
                "AttemptTimeoutError",
                "AuthenticationError",
                "BadRequestError",
                "ConfigError",
                "ConflictError",
                "ConnectError",
                "ConnectionLostError",
                "DeadlineExceededError",
                "E2EError",
                "GuardError",
                "ImageFailedError",
                "NodeFailedError",
                "NotFoundError",
                "OutcomeUnknownError",
                "PermissionDeniedError",
                "RateLimitedError",
                "ResponseError",
                "ServerError",
                "SessionError",
                "SkippedError",
                "TransportError",
                "UsageError",
                "WaitTimeoutError",
            ],
            "events": [
                "AttemptEvent",
                "AttemptStarted",
                "CallEvent",
                "CallStarted",
                "Event",
                "Hook",
                "LimitEvent",
                "LimiterEvent",
                "PauseEvent",
                "RetryScheduled",
                "RunEvent",
                "StepEvent",
            ],
            "images": ["Images"],
            "models": [
                "Action",
                "ActionResult",
                "ImageState",
                "Node",
                "NodeState",
                "RateLimit",
                "Reply",
                "SaveAction",
                "SavedImage",
                "WaitProgress",
            ],
            "nodes": ["Nodes"],
            "session": ["Session"],
            "select": [],
        },
    )

    # What every call needs is loaded now: an aiohttp that the library does not know is refused
    # here, and the first call does not stall. The command line loads what a command needs.
    if not _lazy.is_command_line():
        __getattr__("Session")

del TYPE_CHECKING

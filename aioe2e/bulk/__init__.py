"""Many steps at once: plans, runs, reports, journals."""

from typing import TYPE_CHECKING

from aioe2e._lazy import lazy_door

if TYPE_CHECKING:
    from .endings import Ending, Perform
    from .plan import Plan
    from .progress import Progress
    from .report import BulkError, Outcome, Report
    from .source import as_plan, steps_or_plan
    from .step import ImageLike, NodeLike, Status, Step
    from .stream import OnError, RunOptions, Stream

__all__ = [
    "BulkError",
    "Ending",
    "ImageLike",
    "NodeLike",
    "OnError",
    "Outcome",
    "Perform",
    "Plan",
    "Progress",
    "Report",
    "RunOptions",
    "Status",
    "Step",
    "Stream",
    "as_plan",
    "steps_or_plan",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_door(
        __name__,
        {
            "endings": ["Ending", "Perform"],
            "plan": ["Plan"],
            "progress": ["Progress"],
            "report": ["BulkError", "Outcome", "Report"],
            "source": ["as_plan", "steps_or_plan"],
            "step": ["ImageLike", "NodeLike", "Status", "Step"],
            "stream": ["OnError", "RunOptions", "Stream"],
        },
    )

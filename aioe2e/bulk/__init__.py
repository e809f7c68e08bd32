"""Many steps at once: plans, runs, reports, journals."""

from typing import TYPE_CHECKING

from aioe2e._lazy import lazy_door

if TYPE_CHECKING:
    from .plan import Plan, as_plan, steps_or_plan
    from .progress import Progress
    from .report import BulkError, Outcome, Report
    from .step import Ending, ImageLike, NodeLike, Perform, Status, Step
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
            "plan": ["Plan", "as_plan", "steps_or_plan"],
            "progress": ["Progress"],
            "report": ["BulkError", "Outcome", "Report"],
            "step": ["Ending", "ImageLike", "NodeLike", "Perform", "Status", "Step"],
            "stream": ["OnError", "RunOptions", "Stream"],
        },
    )

"""Many steps at once: plans, runs, reports, journals."""

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

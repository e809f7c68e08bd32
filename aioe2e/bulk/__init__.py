"""Many steps at once: plans, runs, reports, journals."""

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

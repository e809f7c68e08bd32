"""Carrying out a plan: preview, question, journal, bar, waiting, report, exit code."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import attrs

from aioe2e import (
    Action,
    E2EError,
    Outcome,
    Plan,
    Report,
    SaveAction,
    SavedImage,
    Session,
    Status,
    Step,
    Stream,
)

from .exits import CommandError, Exit, code_of, code_of_report
from .inputs import seconds
from .journals import Journal, Origin, start_journal
from .options import Run, Wait
from .output import Column, Printer, Row, printable, table
from .shell import Shell

__all__ = ["Job", "Result", "Waiting", "counted", "plan_columns", "wait_for_all", "waiting_of"]

#: Rows of a plan that stand above a question, and outcomes that a terminal shows.
_SHOWN: Final = 20
#: Errors that are written out on stderr.
_ERRORS: Final = 10


@attrs.frozen
class _Words:
    """How an action is spoken of."""

    verb: str
    doing: str
    done: str
    thing: str


_WORDS: Final = {
    Action.DELETE: _Words("Delete", "Deleting", "deleted", "image"),
    Action.RENAME: _Words("Rename", "Renaming", "renamed", "image"),
    Action.SAVE: _Words("Save", "Saving", "saved", "node"),
}
_MIXED: Final = _Words("Carry out", "Working", "done", "step")


def counted(number: int, noun: str) -> str:
    """``1 image``, ``10,000 images``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def words_of(plan: Plan) -> _Words:
    """How a plan is spoken of."""
    return _MIXED if plan.action is None else _WORDS[plan.action]


def plan_columns(action: Action | None) -> tuple[Column, ...]:
    """The columns of a plan."""
    match action:
        case Action.SAVE:
            return (
                Column("target", "NODE"),
                Column("node", "NODE NAME"),
                Column("name", "IMAGE NAME"),
            )
        case Action.RENAME:
            return (
                Column("target", "ID"),
                Column("previous", "NAME"),
                Column("name", "NEW NAME"),
            )
        case Action.DELETE:
            return (
                Column("target", "ID"),
                Column("previous", "NAME"),
                Column("size", "SIZE"),
                Column("created", "CREATED"),
            )
        case None:
            return (
                Column("action", "ACTION"),
                Column("target", "TARGET"),
                Column("label", "NAME"),
                Column("size", "SIZE"),
            )


@attrs.frozen(kw_only=True)
class Waiting:
    """How long to wait for saved images, and how often to look."""

    timeout: float | None = 1800.0
    interval: float = 5.0


def waiting_of(options: Wait) -> Waiting:
    """How to wait, as the options say."""
    return Waiting(
        timeout=seconds("--wait-timeout", options.wait_timeout),
        interval=seconds("--interval", options.interval) or Waiting().interval,
    )


@attrs.frozen
class Result:
    """One outcome as it is printed: with the image that was waited for."""

    outcome: Outcome
    #: The image of a save, or why it did not get ready; None where nothing was waited for.
    waited: SavedImage | E2EError | None = None

    @property
    def ok(self) -> bool:
        """Whether the step ended well, and its image is ready if that was waited for."""
        return self.outcome.ok and not isinstance(self.waited, E2EError)

    @property
    def is_bad(self) -> bool:
        """Whether something went wrong with it; a step that was never sent did not go wrong."""
        return not self.ok and self.outcome.status is not Status.SKIPPED

    @property
    def image_id(self) -> str | None:
        """The image that the outcome is about, where it is known."""
        if isinstance(self.waited, SavedImage):
            return self.waited.image_id
        if isinstance(self.outcome.result, SaveAction):
            return self.outcome.result.image_id
        is_save = self.outcome.step.action is Action.SAVE
        return None if is_save else self.outcome.step.target

    def to_dict(self) -> dict[str, Any]:
        """The outcome as the library writes it; of a save that was waited for, with its image."""
        found = self.outcome.to_dict()
        if isinstance(self.waited, SavedImage):
            found["image"] = self.waited.to_dict()
        elif self.waited is not None:
            found["wait_error"] = {
                "type": type(self.waited).__name__,
                "message": str(self.waited),
            }
        return found


@attrs.frozen(kw_only=True)
class Job:
    """A plan that a command is about to carry out.

    Attributes:
        waiting: Waits for the images of saves; None does not.
        known: What is known of the images, by id, for previews.
        nodes: The names of nodes, by id, for previews.
        origin: What the journal remembers.
        asks: Whether a person has to agree.
        printed: The steps whose lines of JSON are printed.
    """

    shell: Shell
    session: Session
    run: Run
    printer: Printer
    origin: Origin
    waiting: Waiting | None = None
    known: Mapping[str, SavedImage] = attrs.field(factory=dict)
    nodes: Mapping[str, str] = attrs.field(factory=dict)
    asks: bool = True
    printed: set[tuple[str, int | None]] = attrs.field(factory=set[tuple[str, "int | None"]])

    async def carry_out(self, plan: Plan) -> Exit:
        """Preview, ask, run, wait, report."""
        if self.run.dry_run:
            self.preview(plan)
            return Exit.OK
        self.warn(plan)
        if not len(plan):
            self.shell.screen.note("nothing to do")
            self.print(())
            return Exit.OK
        if self.asks and not self.run.yes:
            self.show(plan)
            self.ask(self.question(plan))
        report, journal = await self.execute(plan)
        results = await self.wait(report)
        return self.finish(report, results, journal)

    # Before it runs

    def preview(self, plan: Plan) -> None:
        """Print the plan: a table, or what ``--from`` takes."""
        rest = {key: value for key, value in plan.to_dict().items() if key != "steps"}
        self.printer.items(
            plan.action.value if plan.action else self.origin.command,
            [step.to_dict() for step in plan],
            plan_columns(plan.action),
            ids=[step.target for step in plan],
            shown=[self.row_of_step(step) for step in plan],
            more={"dry_run": True, "plan": rest},
        )
        self.warn(plan)
        verb = words_of(plan).verb.lower()
        self.shell.screen.note(f"dry run: would {verb} {self.amount(plan)}; nothing was changed")

    def warn(self, plan: Plan) -> None:
        """Say what looks wrong in a plan."""
        note = self.shell.screen.note
        note(*(f"Warning: {printable(warning)}" for warning in plan.warnings[:_ERRORS]))
        if len(plan.warnings) > _ERRORS:
            note(f"… and {len(plan.warnings) - _ERRORS:,} more warnings")

    def amount(self, plan: Plan) -> str:
        """How much a plan changes: ``14 images (412 GB)``."""
        text = counted(len(plan), words_of(plan).thing)
        images = [self.known[step.target] for step in plan if step.target in self.known]
        sizes = [image.size_gb for image in images if image.size_gb is not None]
        if plan.action is not Action.DELETE or not sizes:
            return text
        return f"{text} ({sum(sizes):,.0f} GB)"

    def question(self, plan: Plan) -> str:
        """What a person is asked."""
        question = f"{words_of(plan).verb} {self.amount(plan)}?"
        if plan.action is Action.DELETE:
            question += " This cannot be undone."
        return question

    def ask(self, question: str) -> None:
        """Ask whether to go on.

        Raises:
            CommandError: The answer is no, or there is no terminal to ask on.
        """
        self.shell.ask(
            question, instead="--yes goes on without a question; --dry-run shows the plan"
        )

    def show(self, plan: Plan) -> None:
        """The first rows of a plan, on stderr, for a person."""
        err = self.shell.screen.err
        if not (err.is_terminal and len(plan)):
            return
        rows = [self.row_of_step(step) for step in plan[:_SHOWN]]
        lines = table(plan_columns(plan.action), rows, err, width=err.width)
        if len(plan) > _SHOWN:
            lines.append(f"… and {len(plan) - _SHOWN:,} more (--dry-run shows all)")
        self.shell.screen.note(*lines)

    def row_of_step(self, step: Step) -> Row:
        """A step as a row of a table."""
        image = self.known.get(step.target) if step.action is not Action.SAVE else None
        created = None if image is None else image.creation_time
        return {
            **step.to_dict(),
            "previous": step.previous or (image.name if image else None),
            "label": step.name or step.previous or (image.name if image else None),
            "size": image.image_size if image else None,
            "created": f"{created:%Y-%m-%d}" if created else None,
            "node": self.nodes.get(step.target),
        }

    # While it runs

    async def execute(
        self, plan: Plan, *, journal: Journal | None = None
    ) -> tuple[Report, Journal | None]:
        """Run the plan with a bar and a journal, and settle what the listing can settle.

        Args:
            plan: The plan.
            journal: The journal that the plan is what is left of. The report is of all its steps
                then, those of earlier runs included.

        Returns:
            The report, and the journal if one is kept.
        """
        if journal is None:
            journal = start_journal(self.run, plan, self.origin, self.shell.environ)
            report = await self._run(plan, journal)
        else:
            raise CommandError("a journal cannot be resumed yet")
        if not self.interrupted and report.where(Status.UNKNOWN):
            report = await self.session.images.reconcile(report)
        return report, journal

    async def _run(self, plan: Plan, journal: Journal | None) -> Report:
        wanted = len(plan) > 1 and not self.run.no_progress
        with self.shell.screen.bar(words_of(plan).doing, wanted=wanted) as bar:
            bar.show(0, len(plan))
            stream = self.session.images.stream(
                plan,
                limit=self.run.limit,
                on_error=self.run.on_error,
                progress=bar.progress,
                deadline=seconds("--deadline", self.run.deadline),
                journal=None if journal is None else journal.path,
                missing_ok=self.origin.missing_ok,
            )
            with self.shell.interrupts.stopping(self._stopper(stream)):
                return await self._drain(stream)

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C, or a signal that means the same, came."""
        return self.shell.interrupts.came

    def _stopper(self, stream: Stream) -> Callable[[], object]:
        def stop() -> None:
            self.shell.screen.note("stopping: what was sent is finished; Ctrl-C again cancels it")
            stream.stop()

        return stop

    async def _drain(self, stream: Stream) -> Report:
        """Run to the end, interrupted or not; with JSON lines, print outcomes as they come."""
        try:
            if not self.printer.lines:
                return await stream.drain()
            async with stream:
                async for outcome in stream:
                    if self._is_final(outcome):
                        self.print_line(Result(outcome))
        except asyncio.CancelledError:
            if not self.interrupted:
                raise
        except BrokenPipeError:
            self.shell.screen.note("stdout was closed: nothing more is started")
        return stream.report

    def _is_final(self, outcome: Outcome) -> bool:
        """Whether there is nothing more to come: no listing that settles it, no image."""
        waits = self.waiting is not None and outcome.step.action is Action.SAVE and outcome.ok
        return outcome.status is not Status.UNKNOWN and not waits

    async def wait(self, report: Report) -> list[Result]:
        """The outcomes of a run; with the images of its saves, if those are waited for."""
        if self.waiting is None or self.interrupted:
            return [Result(outcome) for outcome in report]
        waiting = self.waiting
        actions = [
            outcome.result
            for outcome in report
            if outcome.ok and isinstance(outcome.result, SaveAction)
        ]
        found = await wait_for_all(
            self.shell,
            {
                _key(action): self.session.images.wait_saved(
                    action, timeout=waiting.timeout, interval=waiting.interval
                )
                for action in actions
            },
            wanted=not self.run.no_progress,
        )
        results: list[Result] = []
        for outcome in report:
            action = outcome.result if isinstance(outcome.result, SaveAction) else None
            results.append(Result(outcome, None if action is None else found.get(_key(action))))
        return results

    # When it has run

    def finish(self, report: Report, results: Sequence[Result], journal: Journal | None) -> Exit:
        """Say how it went, keep or remove the journal, and print the result."""
        self.tell(report, results)
        if journal is not None:
            self.see_to_journal(report, results, journal)
        if not self.shell.screen.out.broken:
            self.print(results)
        return self.code(report, results)

    def code(self, report: Report, results: Iterable[Result]) -> Exit:
        """The exit code of a run, and of the waiting after it."""
        errors = [result.waited for result in results if isinstance(result.waited, E2EError)]
        return max([code_of_report(report), *map(code_of, errors)])

    def tell(self, report: Report, results: Sequence[Result]) -> None:
        """Say on stderr how a run went: the counts, then what did not end well, and why."""
        counts = report.counts()
        words = _MIXED if report.plan is None else words_of(report.plan)
        total = counted(sum(counts.values()), words.thing)
        said = [
            f"{number:,} {words.done if status is Status.DONE else status.value}"
            for status, number in counts.items()
            if number
        ]
        ready = sum(isinstance(result.waited, SavedImage) for result in results)
        if self.waiting is not None:
            said.append(f"{ready:,} ready")
        self.shell.screen.note(f"{total}: {', '.join(said)} in {report.elapsed:.1f} s")
        self._tell_why([result for result in results if result.is_bad])
        self._tell_skipped(report)

    def _tell_why(self, bad: Sequence[Result]) -> None:
        screen = self.shell.screen
        for result in bad[:_ERRORS]:
            outcome = result.outcome
            word, why = outcome.status.value, outcome.error or outcome.step
            if isinstance(result.waited, E2EError):
                word, why = "not ready", result.waited
            screen.note(f"  {screen.err.styled(word + ':', 'red')} {printable(str(why))}")
        if len(bad) > _ERRORS:
            screen.note(f"  … and {len(bad) - _ERRORS:,} more")

    def _tell_skipped(self, report: Report) -> None:
        """Why steps were not carried out: each reason once."""
        screen = self.shell.screen
        reasons = Counter(str(outcome.error) for outcome in report.where(Status.SKIPPED))
        for reason, number in reasons.most_common(3):
            word = screen.err.styled("skipped:", "magenta")
            screen.note(f"  {word} {printable(reason)} ({counted(number, 'step')})")

    def see_to_journal(self, report: Report, results: Iterable[Result], journal: Journal) -> None:
        """Remove the journal where all is done; else say where it is, and what it is good for."""
        is_ready = self.waiting is None or not self.interrupted
        if report.ok and is_ready and all(result.ok for result in results):
            journal.remove()
            return
        screen = self.shell.screen
        screen.note(f"Journal: {journal.path}")
        screen.note(f"{screen.err.styled('Next step:', 'bold')} {journal.resume_line}")

    def print(self, results: Sequence[Result]) -> None:
        """Print the outcomes on stdout."""
        if self.printer.lines:
            for result in results:
                self.print_line(result)
            return
        shown = results
        if self.shell.screen.out.is_terminal and len(results) > _SHOWN:
            shown = [result for result in results if result.is_bad][:_SHOWN]
        actions = {result.outcome.step.action for result in results}
        action = actions.pop() if len(actions) == 1 else None
        counts = {
            status.value: sum(result.outcome.status is status for result in results)
            for status in Status
        }
        self.printer.items(
            self.origin.command,
            [result.to_dict() for result in results],
            self._columns(action),
            ids=[result.image_id for result in results if result.ok],
            shown=[self._row(result) for result in shown],
            more={"ok": all(result.ok for result in results), "counts": counts},
        )

    def print_line(self, result: Result) -> None:
        """Print an outcome as a line of JSON, once."""
        step = result.outcome.step
        if (step.action.value, step.index) not in self.printed:
            self.printed.add((step.action.value, step.index))
            self.printer.line(result.to_dict())

    def _columns(self, action: Action | None) -> list[Column]:
        found = list(plan_columns(action))
        if action is Action.DELETE:
            found = found[:2]
        if action in (Action.SAVE, None):
            found.append(Column("image_id", "IMAGE"))
        found.append(Column("status", "STATUS"))
        if not self.shell.screen.out.is_terminal:
            found.append(Column("why", "WHY"))
        return found

    def _row(self, result: Result) -> Row:
        outcome = result.outcome
        why = result.waited if isinstance(result.waited, E2EError) else outcome.error
        status = "not ready" if outcome.ok and not result.ok else outcome.status.value
        return {
            **self.row_of_step(outcome.step),
            "image_id": result.image_id,
            "status": status,
            "attempts": outcome.attempts,
            "elapsed": outcome.elapsed,
            "why": None if why is None else str(why),
        }


def _key(action: SaveAction) -> str:
    return f"{action.node_id} {action.name}"


async def wait_for_all(
    shell: Shell,
    waits: Mapping[str, Awaitable[SavedImage | None]],
    *,
    wanted: bool = True,
) -> dict[str, Any]:
    """Wait for several things at once, with a bar.

    Args:
        shell: Has the screen.
        waits: What is awaited, by any name.
        wanted: Whether a bar is wanted.

    Returns:
        By name, what came of each, or its error.
    """
    found: dict[str, Any] = {}
    with shell.screen.bar("Waiting", wanted=wanted and bool(waits)) as bar:
        bar.show(0, len(waits))

        async def wait(name: str, awaitable: Awaitable[SavedImage | None]) -> None:
            try:
                found[name] = await awaitable
            except E2EError as error:
                found[name] = error
            bar.show(len(found), len(waits))

        await asyncio.gather(*(wait(name, awaitable) for name, awaitable in waits.items()))
    return found

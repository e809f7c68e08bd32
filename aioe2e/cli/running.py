"""Carrying out a plan: preview, question, journal, bar, waiting, report, exit code."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC
from typing import TYPE_CHECKING, Any, Final

import attrs

from aioe2e import (
    Action,
    E2EError,
    Outcome,
    Plan,
    Report,
    SaveAction,
    SavedImage,
    Status,
    Step,
)

from .exits import CommandError, Exit, code_of, code_of_report, in_our_words
from .journals import Journal, Origin, start_journal
from .options import Change, Run, Wait, seconds
from .output import Column, Printer, Row, for_people, printable, table
from .shell import Shell, open_session
from .terminal import OutputLostError

if TYPE_CHECKING:
    from aioe2e import Session, Stream

__all__ = [
    "Ended",
    "Job",
    "Result",
    "Waiting",
    "counted",
    "opened_job",
    "wait_for_all",
    "waiting_of",
]

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
    if number == 1:
        return f"1 {noun}"
    return f"{number:,} {noun}s"


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


def waiting_of(options: Wait, *, wanted: bool = True) -> Waiting | None:
    """How to wait, as the options say; None where it is not wanted."""
    if not wanted:
        return None
    return Waiting(
        timeout=seconds("--wait-timeout", options.wait_timeout),
        interval=seconds("--interval", options.interval),
    )


@attrs.frozen
class Result:
    """One outcome as it is printed: with the image that was waited for."""

    outcome: Outcome
    #: The image of a save, or why it did not get ready; None where nothing was waited for.
    waited: SavedImage | E2EError | None = None

    @property
    def wait_error(self) -> E2EError | None:
        """Why the image did not get ready."""
        return self.waited if isinstance(self.waited, E2EError) else None

    @property
    def ok(self) -> bool:
        """Whether the step ended well, and its image is ready if that was waited for."""
        return self.outcome.ok and self.wait_error is None

    @property
    def is_bad(self) -> bool:
        """Whether something went wrong with it; a step that was never sent did not go wrong."""
        return not self.ok and self.outcome.status is not Status.SKIPPED

    @property
    def status(self) -> str:
        """How it ended, in a word."""
        return self.outcome.status.value if self.wait_error is None else "not ready"

    @property
    def why(self) -> str:
        """Why it did not end well; "" where it did."""
        error = self.wait_error or self.outcome.error
        return "" if error is None else in_our_words(str(error))

    @property
    def image_id(self) -> str | None:
        """The image that the outcome is about, where it is known."""
        if isinstance(self.waited, SavedImage):
            return self.waited.image_id
        if isinstance(self.outcome.result, SaveAction):
            return self.outcome.result.image_id
        if self.outcome.step.action is Action.SAVE:
            return None
        return self.outcome.step.target

    def to_dict(self) -> dict[str, Any]:
        """The outcome as the library writes it; of a save that was waited for, with its image."""
        found = self.outcome.to_dict()
        if isinstance(self.waited, SavedImage):
            found["image"] = self.waited.to_dict()
        elif self.waited is not None:
            error = self.waited
            found["wait_error"] = {"type": type(error).__name__, "message": str(error)}
        return found


@attrs.frozen
class Ended:
    """A run that has ended, and what came of the waiting after it."""

    report: Report
    results: tuple[Result, ...]
    journal: Journal | None
    #: Seconds that it took, the waiting included; not those of earlier runs.
    elapsed: float

    @property
    def ok(self) -> bool:
        """Whether every step ended well, and every image that was waited for is ready."""
        return self.report.ok and all(result.ok for result in self.results)

    @property
    def code(self) -> Exit:
        """The exit code."""
        errors = [result.wait_error for result in self.results if result.wait_error is not None]
        return max([code_of_report(self.report), *map(code_of, errors)])

    def in_words(self, words: _Words) -> str:
        """The counts, in a line."""
        counts = self.report.counts()
        names = {status: status.value for status in Status} | {Status.DONE: words.done}
        said = [f"{number:,} {names[status]}" for status, number in counts.items() if number]
        if any(result.waited is not None for result in self.results):
            ready = sum(isinstance(result.waited, SavedImage) for result in self.results)
            said.append(f"{ready:,} ready")
        total = counted(sum(counts.values()), words.thing)
        return f"{total}: {', '.join(said)} in {self.elapsed:.1f} s"


@attrs.frozen(kw_only=True)
class Job:
    """A plan that a command is about to carry out.

    Attributes:
        waiting: Waits for the images of saves; None does not.
        known: What is known of the images, by id, for previews.
        nodes: The names of nodes, by id, for previews.
        origin: What the journal remembers.
        printed: The steps whose lines of JSON are printed.
    """

    shell: Shell
    session: Session
    run: Run
    printer: Printer
    origin: Origin
    waiting: Waiting | None = None
    known: Mapping[str, SavedImage] = attrs.field(factory=dict[str, SavedImage])
    nodes: Mapping[str, str] = attrs.field(factory=dict[str, str])
    printed: set[tuple[str, int | None]] = attrs.field(factory=set[tuple[str, "int | None"]])

    def knowing(self, images: Iterable[SavedImage]) -> Job:
        """The same job, with a listing for its previews."""
        return attrs.evolve(self, known={image.image_id: image for image in images})

    async def carry_out(
        self, plan: Plan, *, asks: bool = True, nothing: str = "nothing to do"
    ) -> Exit:
        """Preview, ask, run, wait, report.

        Args:
            plan: The plan.
            asks: Whether a person has to agree, unless ``--yes`` is given.
            nothing: What is said of an empty plan.
        """
        if self.run.dry_run:
            self.preview(plan)
            return Exit.OK
        self.warn(plan)
        if not len(plan):
            self.shell.screen.note(nothing)
            self.print(())
            return Exit.OK
        if asks and not self.run.yes:
            self.show(plan)
            self.ask(self.question(plan))
        return self.finish(await self.execute(plan))

    # Before it runs

    def preview(self, plan: Plan) -> None:
        """Print the plan: a table, or what ``--from`` takes."""
        rest = {key: value for key, value in plan.to_dict().items() if key != "steps"}
        self.printer.items(
            self.origin.command,
            [step.to_dict() for step in plan],
            plan_columns(plan.action),
            ids=[step.target for step in plan],
            shown=[self.row_of_step(step) for step in plan],
            more={"dry_run": True, "plan": rest},
        )
        self.warn(plan)
        would = "nothing to do"
        if len(plan):
            would = f"would {words_of(plan).verb.lower()} {self.amount(plan)}"
        self.shell.screen.note(f"dry run: {would}; nothing was changed")

    def warn(self, plan: Plan) -> None:
        """Say what looks wrong in a plan."""
        note = self.shell.screen.note
        note(*(f"Warning: {for_people(warning)}" for warning in plan.warnings[:_ERRORS]))
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
        row = {**step.to_dict(), "label": step.name or step.previous}
        if step.action is Action.SAVE:
            return {**row, "node": self.nodes.get(step.target)}
        image = self.known.get(step.target)
        if image is None:
            return row
        previous = step.previous or image.name
        row |= {"previous": previous, "label": step.name or previous, "size": image.image_size}
        if image.creation_time is not None:
            row["created"] = f"{image.creation_time.astimezone(UTC):%Y-%m-%d}"
        return row

    # While it runs

    async def execute(self, plan: Plan, *, earlier: Journal | None = None) -> Ended:
        """Run the plan with a bar and a journal, settle what can be settled, and wait.

        Args:
            plan: The plan.
            earlier: The journal that the plan is what is left of. The report is of all its steps
                then, those of earlier runs included.
        """
        begun = time.monotonic()
        if earlier is None:
            journal = start_journal(self.run, plan, self.origin, self.shell.environ)
            report = await self._run(plan, journal)
        else:
            journal = earlier
            if len(plan):
                await self._run(plan, journal)
            report = Report.from_journal(journal.path)
        if report.where(Status.UNKNOWN) and not self.interrupted:
            report = await self.session.images.reconcile(report)
        results = await self._waited(report)
        return Ended(report, results, journal, time.monotonic() - begun)

    async def _run(self, plan: Plan, journal: Journal | None) -> Report:
        wanted = len(plan) > 1 and not self.run.no_progress
        path = None
        if journal is not None:
            path = journal.path
        with self.shell.screen.bar(words_of(plan).doing, wanted=wanted) as bar:
            bar.show(0, len(plan))
            stream = self.session.images.stream(
                plan,
                limit=self.run.limit,
                on_error=self.run.on_error,
                progress=bar.progress,
                deadline=self.run.seconds,
                journal=path,
                missing_ok=self.origin.missing_ok,
                verify=self.origin.verify,
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
            if self.origin.verify or not self.printer.lines:  # verified as a whole, at the end
                return await stream.drain()
            async with stream:
                async for outcome in stream:
                    if self._is_final(outcome):
                        self.print_line(Result(outcome))
        except asyncio.CancelledError:
            if not self.interrupted:
                raise
        except OutputLostError:
            self.shell.screen.note("stdout cannot be written: nothing more is started")
        return stream.report

    def _is_final(self, outcome: Outcome) -> bool:
        """Whether there is nothing more to come: no listing that settles it, no image."""
        if outcome.status is Status.UNKNOWN:
            return False
        is_waited_for = self.waiting is not None and outcome.step.action is Action.SAVE
        return not (is_waited_for and outcome.ok)

    async def _waited(self, report: Report) -> tuple[Result, ...]:
        """The outcomes of a run; with the images of its saves, if those are waited for."""
        if self.waiting is None or self.interrupted:
            return tuple(Result(outcome) for outcome in report)
        waits: dict[object, Awaitable[SavedImage]] = {}
        for outcome in report:
            if outcome.ok and isinstance(outcome.result, SaveAction):
                waits[outcome.step] = self.session.images.wait_saved(
                    outcome.result, timeout=self.waiting.timeout, interval=self.waiting.interval
                )
        found = await wait_for_all(self.shell, waits, wanted=not self.run.no_progress)
        return tuple(Result(outcome, found.get(outcome.step)) for outcome in report)

    # When it has run

    def finish(self, ended: Ended) -> Exit:
        """Say how it went, keep or remove the journal, and print the result."""
        if self.interrupted:  # then the report on stderr comes first
            self.tell(ended)
            self.print(ended.results)
        else:
            self.print(ended.results)
            self.tell(ended)
        return ended.code

    def tell(self, ended: Ended) -> None:
        """Say on stderr how a run went, what did not end well, and where the journal is."""
        words = _MIXED
        if ended.report.plan is not None:
            words = words_of(ended.report.plan)
        self.shell.screen.note(ended.in_words(words))
        if not self._table_says_why:
            self._tell_why([result for result in ended.results if result.is_bad])
        self._tell_skipped(ended.report)
        if ended.journal is not None:
            self._see_to_journal(ended, ended.journal)

    @property
    def _table_says_why(self) -> bool:
        """Whether the table on stdout says why steps failed, where stderr is read as well."""
        screen = self.shell.screen
        if screen.out.is_terminal or screen.out.broken:
            return False
        return self.printer.shows("why") and screen.is_one_place

    def _tell_why(self, bad: Sequence[Result]) -> None:
        screen = self.shell.screen
        for result in bad[:_ERRORS]:
            word = screen.err.styled(f"{result.status}:", "red")
            screen.note(f"  {word} {printable(result.why or str(result.outcome.step))}")
        if len(bad) > _ERRORS:
            screen.note(f"  … and {len(bad) - _ERRORS:,} more")

    def _tell_skipped(self, report: Report) -> None:
        """Why steps were not carried out: each reason once."""
        screen = self.shell.screen
        reasons = Counter(str(outcome.error) for outcome in report.where(Status.SKIPPED))
        for reason, number in reasons.most_common(3):
            word = screen.err.styled("skipped:", "magenta")
            screen.note(f"  {word} {for_people(reason)} ({counted(number, 'step')})")

    def _see_to_journal(self, ended: Ended, journal: Journal) -> None:
        """Remove the journal where all is done; else say where it is, and what it is good for."""
        still_waits = self.waiting is not None and self.interrupted
        if ended.ok and not still_waits:
            journal.remove()
            return
        screen = self.shell.screen
        screen.note(f"Journal: {journal.path}")
        left = ended.report.remaining()
        if still_waits or len(left) or left.unknown:
            screen.note(f"{screen.err.styled('Next step:', 'bold')} {journal.resume_line}")

    def print(self, results: Sequence[Result]) -> None:
        """Print the outcomes on stdout, if it is still read."""
        out = self.shell.screen.out
        if out.broken:
            return
        if self.printer.lines:
            for result in results:
                self.print_line(result)
            return
        counts = Counter(result.outcome.status for result in results)
        self.printer.items(
            self.origin.command,
            [result.to_dict() for result in results],
            self._columns(results),
            ids=[result.image_id for result in results if result.ok],
            shown=self._rows(results),
            more={
                "ok": all(result.ok for result in results),
                "counts": {status.value: counts[status] for status in Status},
            },
        )

    def _rows(self, results: Sequence[Result]) -> list[Row]:
        """The rows of a table; of many, a terminal shows those of steps that went wrong."""
        if self.shell.screen.out.is_terminal and len(results) > _SHOWN:
            results = [result for result in results if result.is_bad][:_SHOWN]
        return [self._row(result) for result in results]

    def print_line(self, result: Result) -> None:
        """Print an outcome as a line of JSON, once."""
        step = result.outcome.step
        if (step.action.value, step.index) not in self.printed:
            self.printed.add((step.action.value, step.index))
            self.printer.line(result.to_dict())

    def _columns(self, results: Sequence[Result]) -> list[Column]:
        actions = {result.outcome.step.action for result in results}
        if actions == {Action.DELETE}:
            found = [*plan_columns(Action.DELETE)[:2]]
        elif actions == {Action.RENAME}:
            found = [*plan_columns(Action.RENAME)]
        elif actions == {Action.SAVE}:
            found = [*plan_columns(Action.SAVE), Column("image_id", "IMAGE")]
        else:
            found = [*plan_columns(None), Column("image_id", "IMAGE")]
        found.append(Column("status", "STATUS"))
        if not self.shell.screen.out.is_terminal:
            found.append(Column("why", "WHY"))
        return found

    def _row(self, result: Result) -> Row:
        return {
            **self.row_of_step(result.outcome.step),
            "image_id": result.image_id,
            "status": result.status,
            "attempts": result.outcome.attempts,
            "elapsed": result.outcome.elapsed,
            "why": result.why,
        }


@contextlib.asynccontextmanager
async def opened_job(
    shell: Shell, change: Change, origin: Origin, *, waiting: Waiting | None = None
) -> AsyncGenerator[Job]:
    """A job for a plan that is still to be made, on a session that lasts for the block.

    Args:
        shell: That of the command.
        change: The options of the command.
        origin: The command; the account is added.
        waiting: How to wait for the images of saves; None does not.

    Raises:
        CommandError: An option is invalid.
    """
    run, account = change.run, change.account
    if run.no_journal and run.journal is not None:
        raise CommandError("--journal and --no-journal exclude each other")
    async with open_session(account, shell.screen, at_once=run.limit) as session:
        yield Job(
            shell=shell,
            session=session,
            run=run,
            printer=Printer.of(shell.screen, change.output),
            origin=attrs.evolve(origin, account=Origin.account_of(account)),
            waiting=waiting,
        )


async def wait_for_all(
    shell: Shell,
    waits: Mapping[Any, Awaitable[SavedImage | None]],
    *,
    wanted: bool = True,
) -> dict[Any, Any]:
    """Wait for several things at once, with a bar.

    Args:
        shell: Has the screen.
        waits: What is awaited, by any name.
        wanted: Whether a bar is wanted.

    Returns:
        By name, what came of each, or its error.
    """
    found: dict[Any, Any] = {}
    if not waits:
        return found
    with shell.screen.bar("Waiting", wanted=wanted) as bar:
        bar.show(0, len(waits))

        async def wait(name: object, awaitable: Awaitable[SavedImage | None]) -> None:
            try:
                found[name] = await awaitable
            except E2EError as error:
                found[name] = error
            bar.show(len(found), len(waits))

        await asyncio.gather(*(wait(name, awaitable) for name, awaitable in waits.items()))
    return found

"""A server's names and an engine in small, to run plans against: the rules of the bulk engine without its loop."""

from __future__ import annotations

import random

from hypothesis import strategies as st

from aioe2e.bulk import Plan, Status, Step
from aioe2e.bulk.journal import Journal
from aioe2e.bulk.step import StepRecord
from aioe2e.models import Action, SavedImage


def images_named(names: str | list[str]) -> list[SavedImage]:
    return [SavedImage(image_id=str(number), name=name) for number, name in enumerate(names, 1)]


class Store:
    """Names as a server keeps them: it refuses a name that is taken. Counts the saves of each node."""

    def __init__(self, images: list[SavedImage]) -> None:
        self.names = {image.image_id: image.name for image in images}
        self.saves: dict[str, int] = {}

    def apply(self, step: Step, name: str) -> None:
        if step.action is Action.SAVE:
            self.saves[step.target] = self.saves.get(step.target, 0) + 1
            return
        holder = next(
            (image for image, held in self.names.items() if held == name and image != step.target),
            None,
        )
        assert holder is None, f"image {step.target} met {name!r} of image {holder}"
        self.names[step.target] = name


class CrashError(Exception):
    """The process dies here."""


class Run:
    """Carries out a plan as the engine does, in a random order, with faults and a crash as the dice have it."""

    def __init__(
        self,
        store: Store,
        dice: random.Random,
        *,
        faults: float,
        journal: Journal | None = None,
        crash: float = 0.0,
    ) -> None:
        self.store = store
        self.dice = dice
        self.faults = faults
        self.journal = journal
        self.crash = crash
        self.fates: dict[int, StepRecord] = {}
        self.moved: set[int] = set()

    def __call__(self, plan: Plan) -> dict[int, StepRecord]:
        waiting = {step.index: step for step in plan if step.index is not None}
        while waiting:
            if self.dice.random() < self.faults / 5:
                break  # a deadline, or stop()
            index = self.dice.choice(list(waiting))
            if self.turn(index, waiting[index]):
                del waiting[index]
        for index in waiting:
            self.give_up(index)
        return self.fates

    def turn(self, index: int, step: Step) -> bool:
        """Do what is due for a step; whether it ended."""
        if step.via and index not in self.moved:
            if not self.attempt(index, step, step.via, 1):
                return True
            self.moved.add(index)
            self.die()
            if self.journal:
                self.journal.half_done(index)
            return False
        if any(before in self.fates and not self.met(before) for before in step.after):
            self.give_up(index)
        elif not all(before in self.moved or self.met(before) for before in step.after):
            return False
        elif step.unchanged:
            self.end(index, StepRecord(Status.UNCHANGED))
        elif self.attempt(index, step, str(step.name), 2 if step.via else 1):
            self.end(index, StepRecord(Status.DONE))
        return True

    def met(self, index: int) -> bool:
        fate = self.fates.get(index)
        return fate is not None and (fate.settled or fate.halfway)

    def give_up(self, index: int) -> None:
        self.end(
            index,
            StepRecord(Status.FAILED, True, True)
            if index in self.moved
            else StepRecord(Status.SKIPPED),
        )

    def die(self) -> None:
        if self.dice.random() < self.crash:
            raise CrashError

    def end(self, index: int, fate: StepRecord) -> None:
        self.fates[index] = fate
        self.die()
        if self.journal:
            self.journal.ended(index, fate.status, halfway=fate.halfway, passing=fate.passing)

    def attempt(self, index: int, step: Step, name: str, half: int) -> bool:
        """Send one write; whether it was answered with a yes."""
        self.die()
        if self.journal:
            self.journal.sent(index, half)
        self.die()
        if self.dice.random() >= self.faults:
            self.store.apply(step, name)
            return True
        # After a maybe, no later no is proof: an open step does not fail.
        status = Status.UNKNOWN if step.open else self.dice.choice([Status.UNKNOWN, Status.FAILED])
        if status is Status.UNKNOWN and self.dice.random() < 0.5:
            self.store.apply(step, name)
        passing = status is Status.UNKNOWN or self.dice.random() < 0.6
        self.end(index, StepRecord(status, passing, half == 2))
        return False


@st.composite
def renamings(draw: st.DrawFn) -> tuple[list[SavedImage], list[tuple[SavedImage, str]]]:
    """Images, some of them renamed to names of others, to new names, or to their own."""
    count = draw(st.integers(1, 9))
    images = images_named([f"n{number}" for number in range(count)])
    names = draw(st.permutations([f"n{number}" for number in range(count + 2)]))
    chosen = draw(st.sets(st.sampled_from(range(count))))
    free = {images[place].name for place in chosen} | {f"n{count}", f"n{count + 1}"}
    pairs: list[tuple[SavedImage, str]] = []
    for place in sorted(chosen):
        name = next((name for name in names if name in free), None)
        if name is not None:
            names.remove(name)
            pairs.append((images[place], name))
    return images, pairs

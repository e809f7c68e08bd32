"""A campaign of faults: seeded runs of mixed work against the emulator, each claim compared with what really happened.

A claim is what the library said of a call: done, failed, or unknown. The truth is the emulator's ledger. Whatever
does not agree is a `Lie`: lost (said done, was not), ghost (said failed, was applied), double (a save applied twice),
unclaimed (an effect that nobody asked for), overtaken (a
rename said done, and then undone by an earlier request that came late), resent (a save sent again though the first may have been carried out),
wrong image (a save that names an image of another one), bad list, or a dumb unknown (one that does not say what to do).
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

import attrs

import aioe2e
from aioe2e.bulk import Outcome, Report, Status
from aioe2e.testing import KINDS, Call, Effect, FakeE2E, Fault

Key = tuple[str, str, str | None]
ACTIONS = ("list", "save", "rename", "delete")

#: How long, or how much, of what would take too long otherwise.
_SHORT: dict[str, dict[str, Any]] = {
    "hang": {"seconds": 0.8},
    "hang-in-body": {"seconds": 0.8},
    "drip-forever": {"seconds": 0.8},
    "drip": {"seconds": 0.05},
    "slow": {"seconds": 0.05},
    "slow-head": {"seconds": 0.05},
    "refuse": {"seconds": 0.03},
    "body-endless": {"value": 4 * 1024 * 1024},
    "body-huge": {"value": 3 * 1024 * 1024},
    "gzip-bomb": {"value": 4 * 1024 * 1024},
    "deflate-bomb": {"value": 4 * 1024 * 1024},
    "stale-listing": {"seconds": 0.5},
}
#: Most of the throttles that ask for a second or more ask for this many seconds instead.
_SOON = "0.02"
_EFFECTS = {Effect.NOT: False, Effect.BEFORE: True, Effect.LATE: "late"}
#: What a save may meet and be sent again, because it was surely not carried out.
_SURELY_NOT = ("429-json", "405-json", "envelope-code-429", "envelope-quota")


#: Images that never were. A delete that finds them gone after a lost reply counts as done.
_NO_IMAGES = ("999999901", "999999902")


class Deck:
    """Faults for a share of the requests: every kind with every effect comes up once before any comes up again."""

    def __init__(self, rate: float, dice: random.Random, tally: Tally) -> None:
        self._rate = rate
        self._dice = dice
        self._cards = tally.cards
        self._met = tally.kinds
        self.requests = 0
        self.faulted = 0

    def __call__(self, call: Call) -> Fault | None:
        self.requests += 1
        if self._dice.random() >= self._rate:
            return None
        self.faulted += 1
        if not self._cards:
            self._cards += [(kind, effect) for kind, row in KINDS.items() for effect in row.effects]
            self._dice.shuffle(self._cards)
        kind, effect = self._cards.pop()
        self._met[kind] += 1
        options = dict(_SHORT.get(kind, {}))
        if (
            kind.startswith("429")
            and KINDS[kind].value is str
            and KINDS[kind].answers.value == "reply"
            and self._dice.random() < 0.9
        ):
            options["value"] = _SOON
        applied: Any = _EFFECTS[effect] if call.action in ("save", "rename", "delete") else None
        return Fault(kind, applied, late=self._dice.choice((0.01, 0.05, 0.2)), **options)


@attrs.define
class Tally:
    """What a number of runs came to."""

    calls: Counter[str] = attrs.Factory(Counter)
    unknown: Counter[str] = attrs.Factory(Counter)
    failed: Counter[str] = attrs.Factory(Counter)
    #: Calls of runs that were cut off, or began cold: their truth counts, their rates do not.
    uncounted: int = 0
    requests: int = 0
    faulted: int = 0
    kinds: Counter[str] = attrs.Factory(Counter)
    #: What the runs still have to meet of the current deck.
    cards: list[tuple[str, Effect]] = attrs.Factory(list)
    reconciled: int = 0
    finished_later: int = 0
    lies: list[str] = attrs.Factory(list)

    def share_unknown(self, *actions: str) -> float:
        """UNKNOWN per call."""
        return sum(self.unknown[action] for action in actions) / max(
            1, sum(self.calls[action] for action in actions)
        )

    def __str__(self) -> str:
        rows = ["", f"{'action':8}{'calls':>8}{'done':>8}{'failed':>8}{'unknown':>9}{'share':>9}"]
        for action in ACTIONS:
            calls, unknown, failed = self.calls[action], self.unknown[action], self.failed[action]
            done = calls - unknown - failed
            rows.append(
                f"{action:8}{calls:8}{done:8}{failed:8}{unknown:9}{self.share_unknown(action):9.2%}"
            )
        calls, unknown, failed = (
            sum(counter.values()) for counter in (self.calls, self.unknown, self.failed)
        )
        done = calls - unknown - failed
        rows.append(
            f"{'all':8}{calls:8}{done:8}{failed:8}{unknown:9}{self.share_unknown(*ACTIONS):9.2%}"
        )
        rows.append(
            f"beside these, cut off or begun cold: {self.uncounted}; "
            f"requests {self.requests}, faulted {self.faulted} ({self.faulted / max(1, self.requests):.1%}), "
            f"kinds met {len(self.kinds)} of {len(KINDS)}; unknown settled by reconcile {self.reconciled}, "
            f"finished by remaining() {self.finished_later}; lies {len(self.lies)}"
        )
        return "\n".join(rows)


@attrs.frozen
class Claim:
    """What was said of one call."""

    key: Key
    status: Status
    error: BaseException | None = None
    image_id: str | None = None
    via: str | None = None
    halfway: bool = False
    counted: bool = True


@attrs.frozen(kw_only=True)
class Setting:
    """One run's server and session, drawn by its seed."""

    seed: int
    rules: dict[str, Any]
    session: dict[str, Any]
    ambiguous_names: bool
    #: Whether the faults begin before the session has met the server: then it may have its first doubts about a
    #: request in a dialect that the server does not speak, and those are no part of the rates.
    cold: bool

    @classmethod
    def of(cls, seed: int) -> Setting:
        dice = random.Random(seed)
        spoken = dice.choice((None, None, "documented", "current"))
        dialects = {
            None: tuple(aioe2e.Dialect),
            "documented": (aioe2e.Dialect.AUTO, aioe2e.Dialect.DOCUMENTED),
        }
        rules: dict[str, Any] = {
            "unique_names": dice.random() < 0.4,
            "refuse_busy_node": False,
            "conflict_status": dice.choice((409, 412)),
            "save_seconds": dice.choice((0.0, 0.1)),
            "visible_after": dice.choice((0.0, 0.0, 0.15)),
            "listing_lag": dice.choice((0.0, 0.0, 0.2)),
            "disk_suffix": dice.random() < 0.5,
            "image_id_in_save": dice.random() < 0.5,
            "latency": dice.choice((0.0, 0.0, (0.0, 0.01))),
        }
        if spoken is not None:
            rules["dialects"] = spoken
        session: dict[str, Any] = {
            "dialect": dice.choice(
                dialects.get(spoken, (aioe2e.Dialect.AUTO, aioe2e.Dialect.CURRENT))
            ),
            "timeouts": aioe2e.Timeouts(attempt=1.2, total=60.0, connect=1.2),
            "retry": aioe2e.RetryPolicy(
                base=0.005, cap=0.05, look=1.0, max_retry_after=dice.choice((0.2, 0.2, 0.2, 2.0))
            ),
            "limits": aioe2e.Limits(in_flight=dice.choice((4, 24, 24)), max_body=2 * 1024 * 1024),
        }
        ambiguous, cold = dice.random() < 0.3, dice.random() < 0.2
        return cls(seed=seed, rules=rules, session=session, ambiguous_names=ambiguous, cold=cold)


class Run:
    """One seeded run: work under faults, then the comparison."""

    def __init__(
        self, setting: Setting, tally: Tally, *, rate: float = 0.4, size: int = 12
    ) -> None:
        self.tally = tally
        self.setting = setting
        self.size = size
        self.dice = random.Random(setting.seed + 1)
        self.deck = Deck(rate, random.Random(setting.seed + 2), tally)
        self.fake = FakeE2E(images=23 * size, nodes=6 * size, seed=setting.seed, **setting.rules)
        for image in self.fake.images.values():
            image |= {"running_vms": "0", "cloning_ops": "0", "scaler_group_count": 0}
        self.images = list(self.fake.images)
        self.nodes = list(self.fake.nodes)
        self.initial = set(self.images)
        self.asked: set[Key] = set()
        self.claims: list[Claim] = []
        self.reports: list[Report] = []
        self._applied: Counter[Key] = Counter()
        self._read = 0
        self._names = 0

    # What is asked for

    def image(self) -> str:
        return self.images.pop()

    def name(self) -> str:
        self._names += 1
        return f"new{self.setting.seed}n{self._names}"

    def save_names(self, count: int) -> Iterator[str]:
        """Names for saves; in some runs one in three ends like another, so that a listing may be misread."""
        for number in range(count):
            name = self.name()
            yield name
            if self.setting.ambiguous_names and number % 3 == 0:
                yield f"x-{name}"

    def ask(self, *key: str | None) -> Key:
        action, target, name = key
        found: Key = (str(action), str(target), name)
        self.asked.add(found)
        return found

    # The comparison, at any moment

    def applied(self, key: Key) -> int:
        """How often a write has been applied up to now."""
        ledger = self.fake.ledger
        while self._read < len(ledger):
            line = ledger[self._read]
            name = None if line.action == "delete" else line.name.removesuffix("-disk-0")
            self._applied[line.action, line.target, name] += 1
            self._read += 1
        return self._applied[key]

    def lie(self, what: str, claim: Claim | Key) -> None:
        key = claim.key if isinstance(claim, Claim) else claim
        met = [(call.fault, call.status, call.method) for call in self.calls_of(key)]
        extra = f" {claim.status} {claim.error!r}" if isinstance(claim, Claim) else ""
        self.tally.lies.append(f"seed {self.setting.seed}: {what}: {key}{extra}; requests: {met}")

    def calls_of(self, key: Key) -> list[Call]:
        return [call for call in self.fake.calls if (call.action, call.target, call.name) == key]

    def claim(self, claim: Claim) -> None:
        """Take down what was said, and check at once what must be true at once."""
        self.claims.append(claim)
        action = claim.key[0]
        if claim.counted:
            self.tally.calls[action] += 1
            self.tally.unknown[action] += claim.status is Status.UNKNOWN
            self.tally.failed[action] += claim.status in (Status.FAILED, Status.SKIPPED)
        else:
            self.tally.uncounted += 1
        if claim.status is Status.UNKNOWN:
            self.check_unknown(claim)
        elif claim.status is Status.DONE:
            if not self.applied(claim.key) and claim.key[1] not in _NO_IMAGES:
                self.lie("lost", claim)
            if claim.image_id is not None and claim.image_id not in self.made(claim.key):
                self.lie("wrong image", claim)
        elif claim.status is Status.UNCHANGED and claim.key[1] in self.fake.images:
            self.lie("lost (unchanged, but the image is there)", claim)

    def made(self, key: Key) -> set[str]:
        lines = [line for line in self.fake.ledger if (line.action, line.target) == key[:2]]
        return {line.image_id for line in lines if line.name.removesuffix("-disk-0") == key[2]}

    def check_unknown(self, claim: Claim) -> None:
        error, (action, target, _) = claim.error, claim.key
        good = (
            isinstance(error, aioe2e.OutcomeUnknownError)
            and (error.action, error.target) == (action, target)
            and error.attempts >= 1
            and isinstance(error.last, aioe2e.E2EError)
            and ("What to do: " in str(error) or "reconcile" in str(error))
        )
        if not good:
            self.lie("dumb unknown", claim)

    # Single calls

    async def single(self, key: Key, call: Callable[[], Awaitable[Any]]) -> None:
        counted = not self.setting.cold
        try:
            result = await call()
        except aioe2e.OutcomeUnknownError as error:
            self.claim(Claim(key, Status.UNKNOWN, error, counted=counted))
        except aioe2e.E2EError as error:
            self.claim(Claim(key, Status.FAILED, error, counted=counted))
        else:
            image_id = result.image_id if isinstance(result, aioe2e.SaveAction) else None
            self.claim(Claim(key, Status.DONE, image_id=image_id, counted=counted))

    async def listing(self, images: Any) -> None:
        self.tally.calls["list"] += 1
        try:
            shown = {image.image_id for image in await images.list()}
        except aioe2e.OutcomeUnknownError as error:
            self.tally.unknown["list"] += 1
            self.tally.lies.append(f"seed {self.setting.seed}: a list is never unknown: {error!r}")
        except aioe2e.E2EError:
            self.tally.failed["list"] += 1
        else:
            saved = {line.image_id for line in self.fake.ledger if line.action == "save"}
            missing, strange = (
                self.initial & set(self.fake.images) - shown,
                shown - self.initial - saved,
            )
            if missing or strange:
                self.tally.lies.append(
                    f"seed {self.setting.seed}: bad list: missing {missing}, strange {strange}"
                )

    def singles(self, images: Any) -> Iterator[Awaitable[None]]:
        size = self.size
        for _ in range(size * 2):
            yield self.listing(images)
        for _ in range(size * 2):
            image, name = self.image(), self.name()
            yield self.single(
                self.ask("rename", image, name),
                lambda i=image, n=name: images.rename(i, n),  # type: ignore[misc]
            )
            image = self.image()
            yield self.single(self.ask("delete", image, None), lambda i=image: images.delete(i))  # type: ignore[misc]
        for _ in range(2):  # two renames and a delete of one image, all at once
            image, names = self.image(), (self.name(), self.name())
            for name in names:
                yield self.single(
                    self.ask("rename", image, name),
                    lambda i=image, n=name: images.rename(i, n),  # type: ignore[misc]
                )
            yield self.single(self.ask("delete", image, None), lambda i=image: images.delete(i))  # type: ignore[misc]
        for name in self.save_names(size):
            node = self.nodes.pop()
            yield self.single(
                self.ask("save", node, name),
                lambda i=node, n=name: images.save(i, n),  # type: ignore[misc]
            )

    async def chain(self, images: Any) -> None:
        """Several names for one image, one after the other."""
        image = self.image()
        for name in [self.name() for _ in range(4)]:
            key = self.ask("rename", image, name)
            await self.single(key, lambda n=name: images.rename(image, n))  # type: ignore[misc]

    # Bulk runs

    async def bulk(
        self, plan: aioe2e.Plan | Iterable[aioe2e.Step], images: Any, **options: Any
    ) -> None:
        # A throttle may ask for ages: such a run ends at once instead of waiting.
        stream = images.stream(plan, wait_for_budget=False, **options)
        cut = self.dice.random() < 0.1
        try:
            async with (
                asyncio.timeout(self.dice.uniform(0.05, 0.5) if cut else None),
                stream as outcomes,
            ):
                async for outcome in outcomes:
                    self.outcome(outcome, counted=not cut)
        except TimeoutError:
            said = {claim.key for claim in self.claims}
            for outcome in stream.report:
                if self.key_of(outcome.step) not in said:
                    self.outcome(outcome, counted=False)
        self.reports.append(stream.report)

    def key_of(self, step: aioe2e.Step) -> Key:
        return (step.action.value, step.target, step.name)

    def outcome(self, outcome: Outcome, *, counted: bool) -> None:
        step, result = outcome.step, outcome.result
        image_id = result.image_id if isinstance(result, aioe2e.SaveAction) else None
        if not outcome.ok and outcome.error is None:
            self.tally.lies.append(f"seed {self.setting.seed}: no error in {outcome}")
        error = outcome.error
        if not counted and isinstance(error, aioe2e.OutcomeUnknownError) and error.last is None:
            error.last = error  # cut off within its first attempt: there is no error before it
        counted = counted and not self.setting.cold
        key = self.key_of(step)
        self.claim(Claim(key, outcome.status, error, image_id, step.via, outcome.halfway, counted))

    def plans(self) -> Iterator[tuple[aioe2e.Plan | Iterable[aioe2e.Step], dict[str, Any]]]:
        size, limit = self.size, self.dice.choice((2, 8, 16))
        mapping = {self.image(): self.name() for _ in range(size * 2)}
        cycle = [self.known(self.image()) for _ in range(size // 2)]
        pairs: list[Any] = [*mapping.items()]
        pairs += [
            (image, other.name) for image, other in zip(cycle, cycle[1:] + cycle[:1], strict=True)
        ]
        doomed = [self.image() for _ in range(size * 2)] + [*_NO_IMAGES]
        saves = {self.nodes.pop(): name for name in self.save_names(size)}
        mixed = [aioe2e.Step.rename(self.image(), self.name()) for _ in range(size)]
        mixed += [aioe2e.Step.delete(self.image()) for _ in range(size)]
        mixed += [aioe2e.Step.save(self.nodes.pop(), self.name()) for _ in range(size)]
        self.dice.shuffle(mixed)
        rename = aioe2e.Plan.rename(pairs)
        for step in (*rename, *mixed):
            self.ask(*self.key_of(step))
            if step.via is not None:
                self.ask("rename", step.target, step.via)
        for image in doomed:
            self.ask("delete", image, None)
        for node, name in saves.items():
            self.ask("save", node, name)
        yield rename, {"limit": limit}
        yield aioe2e.Plan.delete(doomed), {"limit": limit, "missing_ok": True}
        yield aioe2e.Plan.save(saves), {"limit": limit}
        yield iter(mixed), {"limit": limit}

    def known(self, image: str) -> aioe2e.SavedImage:
        return aioe2e.SavedImage(image_id=image, name=str(self.fake.images[image]["name"]))

    # The whole

    async def __call__(self) -> None:
        fake, tally = self.fake, self.tally
        async with fake, fake.session(**self.setting.session) as session:
            if not self.setting.cold:
                # On a busy machine a reply may take longer than an attempt has here.
                await self.warm(session.with_options(timeouts=aioe2e.Timeouts()).images)
            fake.faults = self.deck
            images = session.images
            work = [
                *self.singles(images),
                *(self.chain(images) for _ in range(self.size // 2)),
                *(self.bulk(plan, images, **options) for plan, options in self.plans()),
            ]
            self.dice.shuffle(work)
            await asyncio.gather(*work)
            tally.requests += self.deck.requests
            tally.faulted += self.deck.faulted
            fake.faults = None
            await fake.settle()
            self.compare()
            await asyncio.sleep(
                self.setting.rules["listing_lag"] + self.setting.rules["visible_after"]
            )
            for report in self.reports:
                await self.after(images, report)
            self.unclaimed()

    async def warm(self, images: Any) -> None:
        """One call of each action, so that the session knows the server's dialect."""
        image, node, name = self.image(), self.nodes.pop(), self.name()
        for key in (("rename", image, name), ("delete", image, None), ("save", node, f"{name}w")):
            self.ask(*key)
        await images.rename(image, name)
        await images.delete(image)
        await images.save(node, f"{name}w")

    def compare(self) -> None:
        """The claims against the whole ledger, once nothing is on its way any more."""
        self.compare_names()
        for claim in self.claims:
            if claim.status in (Status.FAILED, Status.SKIPPED):
                if self.applied(claim.key):
                    self.lie("ghost", claim)
                first = (
                    claim.via is not None and self.applied(("rename", claim.key[1], claim.via)) > 0
                )
                if first != claim.halfway:
                    self.lie("ghost (the temporary name)", claim)
        for key in self.asked:
            if key[0] == "save":
                if self.applied(key) > 1:
                    self.lie("double", key)
                for call in self.calls_of(key)[:-1]:
                    plain_405 = call.status == 405
                    if not plain_405 and not str(call.fault).startswith(_SURELY_NOT):
                        self.lie(f"resent after {call.fault}", key)

    def compare_names(self) -> None:
        """Of the renames of one image that are done, none takes effect after a later one."""
        last: dict[tuple[str, str], int] = {}
        for place, line in enumerate(self.fake.ledger):
            if line.action == "rename":
                last[line.target, line.name] = place
        latest: dict[str, int] = {}
        for claim in self.claims:
            action, target, name = claim.key
            if action == "rename" and claim.status is Status.DONE:
                place = last[target, str(name)]
                if place < latest.get(target, -1):
                    self.lie("overtaken by an earlier rename", claim)
                latest[target] = place

    def unclaimed(self) -> None:
        self.applied(("", "", None))
        for key in self._applied:
            if key not in self.asked:
                self.lie("unclaimed", key)

    async def after(self, images: Any, report: Report) -> None:
        """On a healthy server: reconcile tells the truth, and what remains can be finished."""
        settled = await images.reconcile(report)
        unknown = {outcome.step.index for outcome in report.where(Status.UNKNOWN)}
        for outcome in settled.where(Status.DONE):
            if outcome.step.index in unknown:
                self.tally.reconciled += 1
                if (
                    not self.applied(self.key_of(outcome.step))
                    and outcome.step.target not in _NO_IMAGES
                ):
                    self.lie("lost (reconcile)", self.key_of(outcome.step))
        rest = await images.run(settled.remaining(), missing_ok=True)
        for outcome in rest:
            key = self.key_of(outcome.step)
            if outcome.status is Status.DONE:
                self.tally.finished_later += 1
                if not self.applied(key) and key[1] not in _NO_IMAGES:
                    self.lie("lost (remaining)", key)
            # A fault from before may have left a connection that ends with its next request.
            is_healthy = not any(call.fault for call in self.calls_of(key)[-1:])
            is_unknown = outcome.status is Status.UNKNOWN and not outcome.step.open
            if is_unknown and is_healthy:
                self.lie("unknown on a healthy server", key)
            if key[0] == "save" and self.applied(key) > 1:
                self.lie("double (remaining)", key)

"""`Session`: the connection pool, the credentials and the limits that image actions share."""

from __future__ import annotations

import copy
import inspect
import logging
import os
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property, partial
from os import PathLike
from ssl import SSLContext
from types import TracebackType
from typing import Any, Self, TypedDict, Unpack

import attrs

from aioe2e._call import Call, Channel, ChannelSettings, Options
from aioe2e._http import ClientSession, given_context
from aioe2e._wire import Context, RawReply, plain_request, told_headers
from aioe2e.config import (
    DEFAULT_BASE_URL,
    Credentials,
    Dialect,
    Guard,
    Limiter,
    Limits,
    RetryPolicy,
    Timeouts,
    checked_base_url,
    checked_guard,
    checked_limiter,
    checked_location,
    checked_project_id,
    settings_with_secrets,
)
from aioe2e.images import ImageMemory, Images, Writes

from . import _check, config, diagnosis, events, nodes
from ._clock import Clock
from ._record import CallRecord
from ._version import __version__
from .errors import ConfigError, UsageError
from .models import NodeLike, RateLimit, Reply, node_id_of

__all__ = ["Session", "SessionOptions"]

_AGENT = re.compile(r"[\x20-\x7e]{1,200}")
_TOO_LARGE = 10**128


class SessionOptions(TypedDict, total=False):
    """The arguments of `Session` by name, for code that passes them on."""

    credentials: Credentials
    project_id: int | str | None
    location: str | None
    base_url: str
    http: ClientSession | None
    timeouts: Timeouts | None
    retry: RetryPolicy | None
    limits: Limits | None
    dialect: Dialect
    hooks: Iterable[events.Hook]
    user_agent: str | None
    trust_env: bool
    ssl: SSLContext | str | PathLike[str] | None
    limiter: Limiter | None
    guard: Guard | None


class Session:
    """A session with the MyAccount API of the E2E Networks cloud.

    Building one does no I/O and needs no running loop; the first request binds it to its event
    loop. Use it as ``async with``, or call `close` at the end. One session is made for thousands of
    concurrent calls.

    Args:
        credentials: Api key and auth token.
        project_id: The project whose images are meant; a positive whole number. Most accounts need
            it.
        location: The location whose images are meant, such as ``"Delhi"``. A listing shows one
            location only.
        base_url: With or without ``/api/v1`` and a final slash; https only, but on loopback.
        http: A session of your own whose connection pool is used. It is not closed, and neither its
            cookies nor its default headers, auth, proxies and timeouts are used.
        timeouts: Clocks of the calls.
        retry: Attempts and delays.
        limits: Requests in flight, sizes, the budget for retries; shared by all views.
        dialect: With which HTTP methods actions are sent.
        hooks: Callables that are told of every attempt and pause; see `aioe2e.events`.
        user_agent: Put before the library's own User-Agent.
        trust_env: Whether the proxies and certificates that the environment names are used.
        ssl: A TLS context of your own that verifies; or the path of a file of certificates in PEM,
            of which those and no others are trusted. By default the system's are. Not with `http`,
            whose connector has its own.
        limiter: Paces the requests of all processes that share an account; see `Limiter` and
            `aioe2e.fleet.RedisLimiter`.
        guard: Keeps the writers of all processes that share an account apart; see `Guard` and
            `aioe2e.fleet.RedisGuard`.

    Raises:
        ConfigError: A setting cannot work; the text names it.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        project_id: int | str | None = None,
        location: str | None = None,
        base_url: str = DEFAULT_BASE_URL,
        http: ClientSession | None = None,
        timeouts: Timeouts | None = None,
        retry: RetryPolicy | None = None,
        limits: Limits | None = None,
        dialect: Dialect = Dialect.AUTO,
        hooks: Iterable[events.Hook] = (),
        user_agent: str | None = None,
        trust_env: bool = False,
        ssl: SSLContext | str | PathLike[str] | None = None,
        limiter: Limiter | None = None,
        guard: Guard | None = None,
        _clock: Clock | None = None,
    ) -> None:
        untyped: object = credentials
        if not isinstance(untyped, Credentials):  # pyright: ignore[reportUnnecessaryIsInstance]  # callers without types
            given = type(credentials).__name__
            # The traceback keeps this frame, and what was given may be the two secrets.
            del credentials, untyped
            raise ConfigError(f"credentials must be of type Credentials, not {given}")
        if problem := _mixed_up(credentials, project_id, location, base_url, user_agent):
            del project_id, location, base_url, user_agent  # the traceback keeps this frame
            raise ConfigError(problem)
        options = Options(
            _given("timeouts", timeouts, Timeouts),
            _given("retry", retry, RetryPolicy),
            Context(checked_project_id(project_id), checked_location(location)),
        )
        settings = ChannelSettings(
            credentials=credentials,
            base=checked_base_url(base_url),
            limits=_given("limits", limits, Limits),
            dialect=_instance("dialect", dialect, Dialect),
            hooks=_hooks(hooks),
            user_agent=_agent(user_agent),
            trust_env=_instance("trust_env", trust_env, bool),
            tls=_own_tls(ssl, http),
            clock=_clock or Clock(),
            limiter=checked_limiter(limiter, credentials),
            guard=checked_guard(guard, credentials),
        )

        channel = Channel(settings, _borrowed(http))
        memory = ImageMemory(channel, options)
        #: By project and location; shared by all views.
        self._memories: dict[Context, ImageMemory] = {options.context: memory}
        self._share(channel, memory, options, view=False)

    def _share(
        self, channel: Channel, memory: ImageMemory, options: Options, *, view: bool
    ) -> None:
        self._channel = channel
        self._memory = memory
        self._options = options
        self._view = view

    @classmethod
    def from_env(cls, **overrides: Unpack[SessionOptions]) -> Self:
        """A session from environment variables.

        Read are ``E2E_API_KEY``, ``E2E_AUTH_TOKEN``, ``E2E_PROJECT_ID``, ``E2E_LOCATION`` and
        ``E2E_MYACCOUNT_BASE_URL``. ``E2E_PROFILE`` names a profile (see `from_profile`), which
        gives what no variable gives; key and token are taken together from one place.

        A variable that seems to be meant and is not read (``E2E_REGION``) is a logged warning, and
        so is a project that nothing gives.

        Args:
            overrides: Any argument of `Session`; it stands above the environment.

        Raises:
            ConfigError: A variable that is needed is missing or wrong, or the profile cannot be
                used; the text names it and never shows a secret.
        """
        return cls(**config.from_environment(os.environ, overrides))

    @classmethod
    def from_profile(cls, name: str | None = None, **overrides: Unpack[SessionOptions]) -> Self:
        """A session from a configuration file of the vendor's command lines.

        Read are ``~/.e2e/config.json`` (e2ectl), ``~/.E2E_CLI/config.json`` (e2e-cli, and the file
        that MyAccount offers as "Download Tokens"), and ``~/.e2e/credentials`` with
        ``~/.e2e/config`` (INI), in this order.

        Args:
            name: The profile, in whichever of the files it is; by default the one that the first
                file calls default, or its only one.
            overrides: Any argument of `Session`; it stands above the file.

        Raises:
            ConfigError: There is no such file or profile, others can change the file, e2ectl's file
                can be read by others (e2e-cli's is a logged warning), or something in it is
                wrong.
        """
        return cls(**config.from_files(name, overrides))

    @classmethod
    def discover(cls, profile: str | None = None) -> config.Discovery:
        """Where each setting comes from, without any request; for a person who sets things up.

        Args:
            profile: What `from_profile` would use for this name; None for what `from_env` would
                use.

        Returns:
            The settings and their sources, all profiles that are there, and what is wrong. Secrets
            are hidden in it.
        """
        return config.discovered(os.environ, profile)

    @cached_property
    def images(self) -> Images:
        """The image actions."""
        return Images(self._channel, self._memory, self._options)

    @cached_property
    def nodes(self) -> nodes.Nodes:
        """The nodes, read-only."""
        return nodes.Nodes(self._channel, self._options)

    async def check(self) -> diagnosis.Check:
        """Whether the session is set up right: one listing of images, and another read if it fails.

        Returns:
            Whether key and token, project and location are accepted, what the request budget is,
            how far the clocks differ, and sentences that a person can act on. What goes wrong on
            the way is in it and is not raised.

        May be repeated: it changes nothing.

        Raises:
            SessionError: The session is closed, or belongs to another loop or process.
        """
        return await diagnosis.check_session(self._channel, self._options)

    async def field_report(
        self,
        node: NodeLike | None = None,
        *,
        writes: bool = False,
        tell: Callable[[str], object] | None = None,
        timeout: float = 1800.0,
        interval: float = 5.0,
    ) -> diagnosis.FieldReport:
        """How this account's API behaves, to paste into an issue: nothing says whose account it is.

        It reads the images and the nodes, and one of each. Names, ids and addresses are counted or
        replaced. With ``writes=True`` it also saves an image of a node under a name of its own,
        renames it and deletes it: that answers what only a write can show. It touches no other
        image, stops if anything is not as expected, and leaves nothing behind.

        Args:
            node: The node that is saved, with ``writes=True``; running or powered off.
            writes: Whether to make that trial.
            tell: Told before each step of the trial what it will do, such as `print`; the log by
                default.
            timeout: Seconds that each wait of the trial may take, above 0.
            interval: Seconds between two listings of the trial, 0.01 to 60.

        Returns:
            The report; what failed on the way is in it and is not raised.

        Raises:
            UsageError: ``writes=True`` without a node, a node without it, or an argument that
                cannot be meant. Nothing was sent.
            SessionError: The session is closed, or belongs to another loop or process.
        """
        _check.require_bool("writes", writes)
        if timeout is None:  # pyright: ignore[reportUnnecessaryComparison]  # callers without types
            raise UsageError("timeout must be a number of seconds: a trial does not wait for ever")
        _check.require_wait_times(timeout, interval)
        if tell is not None:
            _check.require_callable("tell", tell, "print")
        if writes and node is None:
            raise UsageError("node: writes=True needs the node whose image is saved")
        if node is not None and not writes:
            raise UsageError("node: it is for writes=True; without that, nothing is saved")
        node_id = None if node is None else node_id_of(node)
        report = await diagnosis.read_field_report(self._channel, self._options)
        if node_id is None:
            return report
        trial = diagnosis.Trial(
            self._channel,
            self.images,
            self.nodes,
            Writes(self._channel, self._memory, self._options),
            tell=tell or partial(logging.getLogger("aioe2e").warning, "field report: %s"),
            timeout=timeout,
            interval=interval,
        )
        await trial.run(node_id)
        return attrs.evolve(report, answers=trial.answers)

    def with_options(
        self, *, timeouts: Timeouts | None = None, retry: RetryPolicy | None = None
    ) -> Self:
        """A view of this session with other timeouts or retries.

        It uses the same pool and limits. Views are light: make one for a single call. Closing a
        view does nothing.

        Args:
            timeouts: None keeps those of this session.
            retry: None keeps that of this session.

        Returns:
            The view; it is used like a session.

        Raises:
            ConfigError: One of them is of another type.
        """
        options = Options(
            self._options.timeouts
            if timeouts is None
            else _instance("timeouts", timeouts, Timeouts),
            self._options.retry if retry is None else _instance("retry", retry, RetryPolicy),
            self._options.context,
        )
        return self._view_of(self._memory, options)

    def at(self, *, location: str | None = None, project_id: int | str | None = None) -> Self:
        """A view of this session for another location or project.

        It uses the same pool, limits and credentials. What is remembered of images is kept apart
        for each location and project; all views of one share it. Closing a view does nothing.

        Args:
            location: None keeps that of this session.
            project_id: None keeps that of this session.

        Returns:
            The view; it is used like a session.

        Raises:
            ConfigError: One of them cannot be sent.
        """
        credentials = self._channel.settings.credentials
        if problem := _mixed_up(credentials, project_id, location, None, None):
            del project_id, location  # the traceback keeps this frame
            raise ConfigError(problem)
        here = self._options.context
        context = Context(
            checked_project_id(project_id) or here.project_id,
            checked_location(location) or here.location,
        )
        options = attrs.evolve(self._options, context=context)
        memory = self._memories.get(context)
        if memory is None:
            memory = self._memories[context] = ImageMemory(self._channel, options)
        return self._view_of(memory, options)

    def _view_of(self, memory: ImageMemory, options: Options) -> Self:
        view = copy.copy(self)  # with what a subclass has added
        for made_for_this in ("images", "nodes"):
            view.__dict__.pop(made_for_this, None)
        view._share(self._channel, memory, options, view=True)  # noqa: SLF001  # a session of the same class
        return view

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        json: Any = None,
        repeatable: bool = False,
    ) -> Reply:
        """Send any other request of the API, with the same credentials, retries, limits and errors.

        Args:
            method: GET and HEAD are retried like a listing; all others are sent again only when the
                first request was certainly not carried out.
            path: Below the base URL, without a query: ``nodes/``.
            query: More query parameters, text or whole numbers. A ``project_id`` or ``location``
                among them stands above the session's; the api key is added.
            json: The body.
            repeatable: Whether a request that changes something may be carried out twice without
                harm.

        Returns:
            The reply. It has the ``data`` and message of an envelope, and any other JSON whole.

        Raises:
            UsageError: The method, the path, the query or the body cannot be sent. A path has
                segments of letters, digits, ``-``, ``_``, ``.`` and ``~``.
            OutcomeUnknownError: It was sent, may not be repeated, and no reply came.
            E2EError: Otherwise as the coroutines of `Images`.
        """
        request = plain_request(method, path, query, json, repeatable)
        replies: list[RawReply] = []
        record = CallRecord(replies=replies)
        verdict = await Call(self._channel, self._options, request, record).run()
        status = 200 if verdict.http_status is None else verdict.http_status
        return Reply(
            status=status,
            data=verdict.data,
            message=verdict.message,
            attempts=record.attempts,
            headers=told_headers(replies[-1], self._channel.redactor),
        )

    async def close(self) -> None:
        """End the session.

        Calls under way end with `SessionError` (or as unknown, when they were sent). Closes only
        what the session opened. A second call does nothing, and so does closing a view.

        May be called from any event loop, also of another thread: the session is closed on its own
        loop. May be called again after it was cancelled.
        """
        if not self._view:
            await self._channel.close()

    @property
    def rate_limit(self) -> RateLimit | None:
        """The account's request budget, as the latest reply that spoke of it told it.

        None until a reply has rate-limit headers (``ratelimit-limit``, ``-remaining`` and
        ``-reset``, or the same names with ``x-``). When a reply says that nothing remains, the
        session sends nothing until the reset, for an hour at most.
        """
        return self._channel.rate_limit

    @property
    def closed(self) -> bool:
        """Whether the session has been closed."""
        return self._channel.closed

    async def __aenter__(self) -> Self:
        if self._channel.closed:
            self._channel.enter()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        if not hasattr(self, "_channel"):
            return "<aioe2e session that could not be built>"
        context = self._options.context.query()
        shown = "".join(f", {key}={value!r}" for key, value in context.items())
        kind = "view of a session" if self._view else "session"
        state = " (closed)" if self.closed else ""
        return f"<aioe2e {kind}: {self._channel.settings.base}{shown}{state}>"


def _instance(name: str, value: Any, type_: type[Any]) -> Any:
    if not isinstance(value, type_):
        raise ConfigError(f"{name} must be of type {type_.__name__}, not {type(value).__name__}")
    return value


def _given(name: str, value: Any, type_: type[Any]) -> Any:
    """The value, or that type's defaults."""
    return type_() if value is None else _instance(name, value, type_)


def _hooks(hooks: Iterable[events.Hook]) -> tuple[events.Hook, ...]:
    found = tuple(hooks) if hasattr(hooks, "__iter__") else ()
    if not hasattr(hooks, "__iter__") or not all(map(callable, found)):
        raise ConfigError("hooks must be a list of callables of one argument")
    if any(map(_is_async, found)):
        raise ConfigError(
            "hooks must be plain callables: an async function would never run;"
            " put the event into a queue, or make a task of it"
        )
    return found


def _is_async(hook: object) -> bool:
    call = getattr(hook, "__call__", None)  # noqa: B004  # an object with an async __call__
    return inspect.iscoroutinefunction(hook) or inspect.iscoroutinefunction(call)


def _mixed_up(
    credentials: Credentials,
    project_id: object,
    location: object,
    base_url: object,
    user_agent: object,
) -> str:
    """What to say of settings that hold a secret, which would stand in URLs, logs and reprs."""
    settings = {
        "project_id": project_id,
        "location": location,
        "base_url": base_url,
        "user_agent": user_agent,
    }
    names = settings_with_secrets(settings, (credentials.api_key, credentials.auth_token))
    if not names:
        return ""
    holds = "holds" if len(names) == 1 else "hold"
    return f"{' and '.join(names)} {holds} a secret: credentials go into Credentials alone"


def _agent(user_agent: object) -> str:
    own = f"aioe2e/{__version__}"
    if user_agent is None:
        return own
    if not isinstance(user_agent, str) or not _AGENT.fullmatch(user_agent):
        raise ConfigError("user_agent must be 1 to 200 characters of printable ASCII")
    return f"{_check.as_str(user_agent)} {own}"


def _own_tls(given: object, http: object) -> SSLContext | None:
    context = given_context(given)
    if context is not None and http is not None:
        raise ConfigError("ssl has no effect with http=: give it to the connector of that session")
    return context


def _borrowed(http: Any) -> Any:
    if http is not None and not hasattr(http, "connector"):
        raise ConfigError(f"http must be an aiohttp.ClientSession, not {type(http).__name__}")
    return http

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

_AGENT = r"[\x20-\x7e]{1,200}"


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

    Making one does no I/O and needs no running event loop. The first request binds the session to
    its event loop. Use ``async with``, or call `close` at the end. One session serves thousands of
    concurrent calls.

    Args:
        credentials: The API key and the auth token.
        project_id: The id of the project whose images and nodes are used, a positive whole number.
            Most accounts need it. By default requests name no project.
        location: The location whose images and nodes are used, such as ``"Delhi"``. A listing shows
            one location only. By default requests name no location.
        base_url: The URL of the API, with or without ``/api/v1`` and a final slash. It must be
            https, except on loopback.
        http: An ``aiohttp.ClientSession`` of your own whose connection pool is used. It is not
            closed. Its cookies, default headers, auth, proxies and timeouts are not used.
        timeouts: How long attempts, calls and connections may take. None for the defaults of
            `Timeouts`.
        retry: How many attempts a call may make, and with which delays. None for the defaults of
            `RetryPolicy`.
        limits: Requests in flight, rates, sizes and the retry budget, shared by all views. None for
            the defaults of `Limits`.
        dialect: The HTTP methods with which actions are sent. By default the session finds out
            which ones the account accepts.
        hooks: Callables that receive an event for every attempt, pause, step and run; see
            `aioe2e.events`.
        user_agent: Text that is put before the library's own User-Agent.
        trust_env: Whether to use the proxies and certificates that environment variables name.
        ssl: A TLS context that verifies certificates, or the path of a PEM file of the only
            certificates to trust. By default the system's certificates are trusted. It cannot be
            combined with ``http``, whose connector has its own.
        limiter: Paces the requests of all processes that share an account; see `Limiter` and
            `aioe2e.fleet.RedisLimiter`.
        guard: Lets one process at a time change an image; see `Guard` and
            `aioe2e.fleet.RedisGuard`.

    Raises:
        ConfigError: An argument is invalid; the text names it.
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
        """Make a session from environment variables.

        Reads ``E2E_API_KEY``, ``E2E_AUTH_TOKEN``, ``E2E_PROJECT_ID``, ``E2E_LOCATION`` and
        ``E2E_MYACCOUNT_BASE_URL``. ``E2E_PROFILE`` names a profile (see `from_profile`), which
        supplies what the other variables do not. The API key and the auth token are taken together
        from one place.

        A likely misspelling such as ``E2E_REGION`` is logged as a warning, and so is a missing
        project.

        Args:
            overrides: Any arguments of `Session`. They take precedence over the environment.

        Raises:
            ConfigError: A variable is missing or invalid, or the profile cannot be used. The text
                names the variable and never shows a secret.
        """
        return cls(**config.from_environment(os.environ, overrides))

    @classmethod
    def from_profile(cls, name: str | None = None, **overrides: Unpack[SessionOptions]) -> Self:
        """Make a session from a configuration file of one of the vendor's command lines.

        Reads ``~/.e2e/config.json`` (e2ectl), ``~/.E2E_CLI/config.json`` (e2e-cli, and the file
        that MyAccount offers as "Download Tokens"), and ``~/.e2e/credentials`` with
        ``~/.e2e/config`` (INI), in this order.

        Args:
            name: The name of the profile, in any of the files. By default the profile that the
                first file marks as the default, or its only one.
            overrides: Any arguments of `Session`. They take precedence over the file.

        Raises:
            ConfigError: There is no such file or profile, other users can change the file, other
                users can read e2ectl's file (for e2e-cli's file that is a logged warning), or a
                value in it is invalid.
        """
        return cls(**config.from_files(name, overrides))

    @classmethod
    def discover(cls, profile: str | None = None) -> config.Discovery:
        """Report where each setting comes from, without sending any request.

        Args:
            profile: The name of a profile, for what `from_profile` would use; None for what
                `from_env` would use.

        Returns:
            The settings and their sources, all profiles that were found, and all problems. It hides
            secrets.
        """
        return config.discovered(os.environ, profile)

    @cached_property
    def images(self) -> Images:
        """The saved images of the session's project and location."""
        return Images(self._channel, self._memory, self._options)

    @cached_property
    def nodes(self) -> nodes.Nodes:
        """The nodes of the session's project and location, read-only."""
        return nodes.Nodes(self._channel, self._options)

    async def check(self) -> diagnosis.Check:
        """Check whether the server accepts the session's settings.

        Sends one listing of images, and a second read if that fails. Safe to call again: it changes
        nothing.

        Returns:
            Whether the API key, auth token, project and location are accepted, the request budget,
            the difference of the clocks, and advice in sentences. Errors on the way are part of the
            result and are not raised.

        Raises:
            SessionError: The session is closed, or belongs to another event loop or process.
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
        """Describe how this account's API behaves, in a report to paste into an issue.

        Reads the images and the nodes, and one of each. The report does not show whose account it
        is: names, ids and addresses are counted or replaced.

        With ``writes=True`` it also saves an image of a node under a unique temporary name, renames
        it and deletes it, to answer what only a write can show. It touches no other image, stops if
        anything is not as expected, and leaves nothing behind.

        Args:
            node: The node to save, with ``writes=True``; running or powered off.
            writes: Whether to make that trial.
            tell: Called with a sentence before each step of the trial, such as ``print``. By
                default the sentences are logged.
            timeout: Seconds that each wait of the trial may take, above 0.
            interval: Seconds between two listings of the trial, 0.01 to 60.

        Returns:
            The report. Errors on the way are part of it and are not raised.

        Raises:
            UsageError: An argument is invalid, ``writes=True`` comes without a node, or a node
                without ``writes=True``. Nothing was sent.
            SessionError: The session is closed, or belongs to another event loop or process.
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
        """Return a view of this session with other timeouts or another retry policy.

        The view uses the same pool and limits. Views are cheap: you can make one for a single call.
        Closing a view does nothing.

        Args:
            timeouts: The timeouts; None keeps those of this session.
            retry: The retry policy; None keeps that of this session.

        Returns:
            The view; use it like a session.

        Raises:
            ConfigError: An argument has the wrong type.
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
        """Return a view of this session for another location or project.

        The view uses the same pool, limits and credentials. What the session remembers of images is
        kept apart for each location and project; all views of one share it. Closing a view does
        nothing.

        Args:
            location: The location; None keeps that of this session.
            project_id: The id of the project; None keeps that of this session.

        Returns:
            The view; use it like a session.

        Raises:
            ConfigError: An argument is invalid.
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
            method: The HTTP method. GET and HEAD are retried like a listing. Any other method is
                sent again only if the first request certainly had no effect.
            path: The path below the base URL, without a query, such as ``nodes/``.
            query: More query parameters, text or whole numbers. A ``project_id`` or ``location``
                among them overrides the session's. The API key is added.
            json: The body.
            repeatable: Whether a request that changes something may be carried out twice without
                harm.

        Returns:
            The reply, with the ``data`` and message of an envelope, or any other JSON as a whole.

        Raises:
            UsageError: The method, path, query or body is invalid. The segments of a path consist
                of letters, digits, ``-``, ``_``, ``.`` and ``~``.
            OutcomeUnknownError: The request was sent, must not be repeated, and got no reply.
            E2EError: Otherwise as for the coroutines of `Images`.
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
        """Close the session.

        Calls in progress raise `SessionError`, or `OutcomeUnknownError` if a write had been sent.
        An ``http=`` session that you passed in stays open. Closing twice does nothing, and neither
        does closing a view.

        You can call it from any event loop, even from another thread: the session is closed on its
        own loop. You can call it again if it was cancelled.
        """
        if not self._view:
            await self._channel.close()

    @property
    def rate_limit(self) -> RateLimit | None:
        """The account's request budget, as reported by the latest reply with rate-limit headers.

        None until a reply has such headers (``ratelimit-limit``, ``-remaining`` and ``-reset``, or
        the same names with ``x-``). If a reply reports that nothing remains, the session sends
        nothing until the reset, for an hour at most.
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
    expected = "hooks must be a list of callables of one argument"
    if not hasattr(hooks, "__iter__"):
        raise ConfigError(expected)
    found = tuple(hooks)
    if not all(map(callable, found)):
        raise ConfigError(expected)
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
    if not isinstance(user_agent, str) or not re.fullmatch(_AGENT, user_agent):
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

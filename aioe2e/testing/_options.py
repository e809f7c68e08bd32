"""The options of the command: those of `FakeE2E`, and one for each field of `Rules`."""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

import attrs

from aioe2e.errors import UsageError
from aioe2e.testing.account import Knob, Rules
from aioe2e.testing.faults import Faults
from aioe2e.testing.net import DIALECTS

from . import _checks as checks
from ._likeness import options_like

_T = TypeVar("_T")
#: Adds an option to a group of them.
_Add: TypeAlias = Callable[..., argparse.Action]

#: Defaults that differ from those of `FakeE2E`, or that the help mentions.
_DEFAULTS: dict[str, Any] = {
    "host": "127.0.0.1",
    "port": 8400,
    "images": 20,
    "nodes": 5,
    "seed": 0,
    "latency": 0.0,
    "keep": 1000,
    # A person is slower to look than a test.
    "save_seconds": 5.0,
}
#: Options that are not keywords of `FakeE2E`.
_OTHERS = ("faults", "fault", "list_faults", "like", "keep")


def parser_of(prog: str) -> argparse.ArgumentParser:
    """The parser of the command line.

    Args:
        prog: How the command is called.
    """
    parser = argparse.ArgumentParser(
        prog=prog,
        usage=f"{prog} [options]",
        argument_default=argparse.SUPPRESS,
        description="Serve an emulated MyAccount image API on this machine, without any account.",
        formatter_class=lambda prog: argparse.HelpFormatter(prog, width=79),
    )
    _add_server(parser.add_argument_group("the server").add_argument)
    _add_account(parser.add_argument_group("the account").add_argument)
    _add_faults(parser.add_argument_group("faults").add_argument)
    rules = parser.add_argument_group("rules", "What the account refuses, and how it behaves.")
    texts = comments_of(Rules)
    for field in attrs.fields(Rules):
        _add_rule(rules.add_argument, field, texts[field.name])
    return parser


def keywords_of(options: argparse.Namespace) -> dict[str, Any]:
    """The keywords for `FakeE2E`: the defaults, then a report, then the command line.

    Raises:
        UsageError: The file of `--like` is not a field report.
        OSError: It cannot be read.
    """
    given: dict[str, Any] = vars(options)
    keywords: dict[str, Any] = dict(_DEFAULTS)
    if options.like is not None:
        keywords |= options_like(options.like, seed=given.get("seed", 0))
    keywords |= given
    for name in _OTHERS:
        keywords.pop(name, None)
    keep = given.get("keep", _DEFAULTS["keep"])
    return keywords | {"keep_calls": keep, "keep_ledger": keep, "faults": faults_of(options)}


def faults_of(options: argparse.Namespace) -> Faults:
    """The faults that the command line asks for."""
    seed = getattr(options, "seed", 0)
    single = [fault(seed) for fault in options.fault]
    return sum(single, Faults()) + Faults.random(options.faults, seed=seed)


def _add_server(add: _Add) -> None:
    add("--host", help=f"address to listen on ({_DEFAULTS['host']})")
    add(
        "--port",
        type=_whole(0, 65535),
        help=f"port, 0 for any that is free ({_DEFAULTS['port']})",
    )
    add(
        "--latency",
        type=_number(checks.seconds),
        metavar="SECONDS",
        help=f"time that every reply takes ({_DEFAULTS['latency']:g})",
    )
    add(
        "--rps",
        dest="requests_per_second",
        type=_number(checks.positive),
        metavar="COUNT",
        help="requests per second before 429 (no limit)",
    )
    add(
        "--requests-per-hour",
        type=_number(checks.positive),
        metavar="COUNT",
        help="requests per hour before 429 (no limit)",
    )
    add(
        "--keep",
        type=_whole(0),
        metavar="COUNT",
        help=f"how many of the latest requests and changes to keep ({_DEFAULTS['keep']})",
    )


def _add_account(add: _Add) -> None:
    add(
        "--images",
        type=_source,
        metavar="COUNT|FILE",
        help=f"how many saved images, or a JSON file of them ({_DEFAULTS['images']})",
    )
    add(
        "--nodes",
        type=_source,
        metavar="COUNT|FILE",
        help=f"how many nodes, or a JSON file of them ({_DEFAULTS['nodes']})",
    )
    add(
        "--seed",
        type=int,
        help=f"random seed of images, nodes and faults ({_DEFAULTS['seed']})",
    )
    add(
        "--dialect",
        dest="dialects",
        action="append",
        choices=DIALECTS,
        metavar="NAME",
        help=f"speak only this one of {', '.join(DIALECTS)}; may be given several times (all)",
    )
    add(
        "--like",
        default=None,
        metavar="FILE",
        help="behave like the account of this field report; other options take precedence",
    )


def _add_faults(add: _Add) -> None:
    add(
        "--faults",
        type=_number(checks.share),
        default=0.0,
        metavar="RATE",
        help="share of requests that meet a fault of any quick kind, 0 to 1 (%(default)s)",
    )
    add(
        "--fault",
        type=_fault,
        action="append",
        default=[],
        metavar="[ACTION:]KIND[@RATE]",
        help="a fault of one kind, for one action or all, for a share of the requests or all, "
        "such as save:reset@0.5; may be given several times",
    )
    add(
        "--list-faults",
        action="store_true",
        default=False,
        help="list the kinds of faults, and exit",
    )


def _add_rule(add: _Add, field: attrs.Attribute[Any], text: str) -> None:
    knob: Knob = field.metadata["knob"]
    shown = _shown(_DEFAULTS.get(field.name, field.default))
    help_text = text.replace("`", "").rstrip(".").replace("%", "%%") + shown
    name = f"--{field.name.replace('_', '-')}"
    if knob.read is None:
        add(
            name,
            action=argparse.BooleanOptionalAction,
            default=argparse.SUPPRESS,
            help=help_text,
        )
    else:
        add(
            name,
            type=_value(knob.read, knob.check),
            metavar=knob.metavar,
            help=help_text,
        )


def _shown(default: object) -> str:
    """A default as the end of a help text; nothing if the text says what None means."""
    if default in (None, ()):
        return ""
    if isinstance(default, bool):
        return " (on)" if default else " (off)"
    return f" ({default:g})" if isinstance(default, float) else f" ({default})"


def comments_of(cls: type[object]) -> dict[str, str]:
    """The comments above the fields of a class, which document them."""
    source = inspect.getsource(cls)
    found = re.findall(r"((?:^ +#: .*\n)+) +(\w+):", source, re.MULTILINE)
    return {name: re.sub(r"\s*#: ", " ", lines).strip() for lines, name in found}


def _number(check: Callable[[str, float], object]) -> Callable[[str], float]:
    """A type of argument: a number that passes a check."""
    return _value(float, check)


def _whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """A type of argument: a whole number."""
    return _value(int, lambda name, number: checks.whole(name, number, least=least, most=most))


def _value(read: Callable[[str], _T], check: Callable[[str, _T], object]) -> Callable[[str], _T]:
    """A type of argument: what is read from the text, if it passes a check."""

    def value(text: str) -> _T:
        try:
            found = read(text)
            check("it", found)
        except UsageError as error:
            raise argparse.ArgumentTypeError(str(error)) from None
        except ValueError:
            raise argparse.ArgumentTypeError(f"it must be a number, not {text!r}") from None
        return found

    return value


def _source(text: str) -> int | str:
    """A number, or the name of a file."""
    try:
        int(text)
    except ValueError:
        return text
    return _whole(0)(text)


def _fault(text: str) -> Callable[[int], Faults]:
    """The faults that ``[ACTION:]KIND[@RATE]`` stands for, by the seed."""
    action, colon, rest = text.rpartition(":")
    kind, _, rate = rest.partition("@")
    actions: Sequence[str] | None = [action] if colon else None

    def make(seed: int) -> Faults:
        return Faults.random(float(rate or 1), seed=seed, kinds=[kind], actions=actions)

    try:
        make(0)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    except ValueError:
        raise argparse.ArgumentTypeError(f"the rate must be a number, not {rate!r}") from None
    return make

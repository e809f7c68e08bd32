"""``aioe2e completion``: scripts for bash, zsh and fish that need no call of the program."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Final, Literal

from .exits import Exit
from .parser import Option, Parser, Place, argument, given
from .shell import Shell

__all__ = ["completion", "script"]

Name = Literal["bash", "zsh", "fish"]


async def completion(
    name: Annotated[Name, argument("SHELL", "The shell: bash, zsh or fish.")],
    /,
    *,
    shell: Annotated[Shell, given()],
) -> Exit:
    """Print a script that completes commands and options.

    The script is self-contained: it runs no program and sends nothing. bash reads it from
    ~/.local/share/bash-completion/completions/aioe2e, zsh from the file _aioe2e in a folder of
    $fpath, fish from ~/.config/fish/completions/aioe2e.fish.
    """
    shell.screen.out.print(script(shell.parser, name))
    return Exit.OK


def script(parser: Parser, name: Name) -> str:
    """The script for a shell."""
    make = {"bash": _bash, "zsh": _zsh, "fish": _fish}[name]
    return "\n".join([_title(parser, name), *make(parser)])


def _title(parser: Parser, name: Name) -> str:
    program = parser.program
    first = f"#compdef {program}\n" if name == "zsh" else ""
    return f"{first}# Completion of {program} for {name}, made by `{program} completion {name}`."


def _valued(places: Iterable[Place]) -> list[str]:
    """All options that a value follows."""
    return sorted(
        {
            name
            for place in places
            for option in place.options
            if option.takes_value
            for name in option.names
        }
    )


# bash

_BASH: Final = """\
_PROGRAM() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
    local path="" words="" options="" skip="" word i
    COMPREPLY=()
    if [[ $cur == "=" ]]; then cur=""; fi
    if [[ $prev == "=" ]]; then prev=${COMP_WORDS[COMP_CWORD-2]}; fi
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [[ $word == "=" ]]; then skip=1; continue; fi
        if [[ -n $skip ]]; then skip=""; continue; fi
        case $word in
            VALUED) if [[ ${COMP_WORDS[i+1]} != "=" ]]; then skip=1; fi ;;
            -*) ;;
            *) if [[ -z $path ]]; then path=$word
               elif [[ $path != *" "* ]]; then path="$path $word"; fi ;;
        esac
    done
    case "$path $prev" in
VALUES
    esac
    case $path in
PLACES
    esac
    if [[ $cur == -* ]]; then words=$options; fi
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -F _PROGRAM PROGRAM"""


def _bash(parser: Parser) -> Iterator[str]:
    places = parser.places()
    values = [line for place in places for line in _bash_values(place)]
    rows = [line for place in places for line in _bash_place(place)]
    yield (
        _BASH.replace("PROGRAM", parser.program)
        .replace("VALUED", "|".join(_valued(places)))
        .replace("VALUES", "\n".join(values))
        .replace("PLACES", "\n".join(rows))
    )


def _bash_values(place: Place) -> Iterator[str]:
    """What may follow an option: the words of a choice, files, or nothing that is known."""
    others: list[str] = []
    for option in place.options:
        patterns = [f"'{path} {name}'" for path in place.paths for name in option.names]
        if option.choices:
            reply = f"$(compgen -W '{' '.join(option.choices)}' -- \"$cur\")"
            yield f"        {'|'.join(patterns)}) COMPREPLY=({reply}); return ;;"
        elif option.is_file:
            yield f"        {'|'.join(patterns)}) {_BASH_FILES}; return ;;"
        elif option.takes_value:
            others += patterns
    if others:
        yield f"        {'|'.join(others)}) return ;;"


_BASH_FILES: Final = 'compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur"))'


def _bash_place(place: Place) -> Iterator[str]:
    names = " ".join(name for option in place.options for name in option.names)
    words = " ".join(word for word, _ in place.words)
    patterns = "|".join(f"'{path}'" for path in place.paths)
    yield f"        {patterns}) options='{names}' words='{words}'"
    if place.takes_file:
        yield f"            if [[ $cur != -* ]]; then {_BASH_FILES}; return; fi"
    yield "            ;;"


# zsh

_ZSH: Final = """\
_PROGRAM() {
    local -a commands
    local at="$words[2] $words[3]"
    if (( CURRENT == 2 )); then
        at=""
    elif (( CURRENT == 3 )) || [[ $words[3] == -* ]]; then
        at=$words[2]
    fi
    case $at in
PLACES
    esac
}
if [[ $funcstack[1] == _PROGRAM ]]; then _PROGRAM "$@"; else compdef _PROGRAM PROGRAM; fi"""


def _zsh(parser: Parser) -> Iterator[str]:
    rows = [line for place in parser.places() for line in _zsh_place(place)]
    yield _ZSH.replace("PROGRAM", parser.program).replace("PLACES", "\n".join(rows))


def _zsh_place(place: Place) -> Iterator[str]:
    yield f"        {'|'.join(map(_quoted, place.paths))})"
    if place.is_group:
        words = " ".join(_quoted(f"{word}:{text}") for word, text in place.words)
        yield f"            commands=({words})"
        yield "            _describe command commands ;;"
        return
    depth = len(place.paths[0].split())
    yield f"            shift {depth} words; (( CURRENT -= {depth} ))"
    specs = [spec for option in place.options for spec in _zsh_specs(option)]
    yield "            _arguments -s \\"
    yield " \\\n".join(f"                {spec}" for spec in [*specs, _zsh_argument(place)]) + " ;;"


def _zsh_argument(place: Place) -> str:
    if place.takes_file:
        return _quoted("*:argument:_files")
    if place.words:
        return _quoted(f"*:argument:({' '.join(word for word, _ in place.words)})")
    return _quoted("*:argument:")


def _zsh_specs(option: Option) -> Iterator[str]:
    text = option.text.replace("[", "(").replace("]", ")").replace(":", "\\:")
    value = ""
    if option.choices:
        value = f":value:({' '.join(option.choices)})"
    elif option.takes_value:
        value = f":{option.metavar}:" + ("_files" if option.is_file else "")
    for name in option.names:
        equals = "=" if value and name.startswith("--") else ""
        yield _quoted(f"*{name}{equals}[{text}]{value}")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


# fish

_FISH: Final = """\
function __PROGRAM_at
    set -l path
    set -l skip
    for word in (commandline -opc)[2..]
        if test -n "$skip"
            set skip
        else if contains -- $word VALUED
            set skip 1
        else if not string match -q -- '-*' $word; and test (count $path) -lt 2
            set -a path $word
        end
    end
    contains -- "$path" $argv
end
complete -c PROGRAM -f"""


def _fish(parser: Parser) -> Iterator[str]:
    places = parser.places()
    program = parser.program
    yield _FISH.replace("PROGRAM", program).replace("VALUED", " ".join(_valued(places)))
    for place in places:
        paths = [*place.paths]
        if place.words and not place.is_group:  # an argument may be there already
            paths += [f"{path} {word}" for path in place.paths for word, _ in place.words]
        at = _quoted(f"__{program}_at " + " ".join(f'"{path}"' for path in paths))
        for word, text in place.words:
            yield f"complete -c {program} -n {at} -a {word} -d {_quoted(text)}"
        if place.takes_file:
            yield f"complete -c {program} -n {at} -F"
        for option in place.options:
            yield f"complete -c {program} -n {at} {_fish_option(option)}"


def _fish_option(option: Option) -> str:
    words = [f"-s {name[1:]}" if len(name) == 2 else f"-l {name[2:]}" for name in option.names]
    if option.choices:
        words.append(f"-x -a {_quoted(' '.join(option.choices))}")
    elif option.is_file:
        words.append("-r -F")
    elif option.takes_value:
        words.append("-x")
    return " ".join([*words, "-d", _quoted(option.text)])

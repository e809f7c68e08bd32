"""The completion scripts, read by the shells that they are for."""

from __future__ import annotations

import functools
import os
import select
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from aioe2e.cli.command_line import PARSER
from aioe2e.cli.completion import Name, script

#: A command line up to the cursor, and what may stand there (among other things).
CASES = [
    ("", {"images", "nodes", "doctor", "completion", "demo", "emulator"}),
    ("images ", {"list", "save", "rename", "delete", "rotate", "wait", "resume"}),
    ("image de", {"delete"}),
    ("images list --mat", {"--match"}),
    ("images list --sort ", {"created", "name", "size"}),
    ("images wait --state ", {"ready", "gone"}),
    ("images delete --limit 3 --miss", {"--missing-ok"}),
    ("images delete -o ", {"table", "json", "jsonl"}),
    ("node li", {"list"}),
    ("completion ", {"bash", "zsh", "fish"}),
    ("images delete --from my-", {"my-plan.json"}),
    ("images resume my-", {"my-plan.json"}),
]
#: What may not.
WRONG = [
    ("images list --sort ", {"list", "table", "ready"}),
    ("images list --match ", {"list", "my-plan.json"}),
    ("nodes ", {"delete", "rotate"}),
    ("images get ", {"images", "my-plan.json"}),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the scripts, and a file to complete."""
    tmp_path = tmp_path_factory.mktemp("completion")
    names: tuple[Name, ...] = ("bash", "zsh", "fish")
    for name in names:
        (tmp_path / f"script.{name}").write_text(script(PARSER, name) + "\n")
    (tmp_path / "my-plan.json").write_text("{}")
    return tmp_path


def needs(shell: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(shell) is None, reason=f"{shell} is not installed")


def in_bash(folder: Path, line: str) -> set[str]:
    words = ["aioe2e", *line.split(" ")]
    program = (
        "source script.bash; compopt() { :; }; "
        f"COMP_WORDS=({' '.join(map(repr, words))}); COMP_CWORD={len(words) - 1}; "
        '_aioe2e; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    command = ["bash", "--norc", "-c", program]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return set(done.stdout.split())


def in_fish(folder: Path, line: str) -> set[str]:
    program = f"source script.fish; complete -C 'aioe2e {line}'"
    command = ["fish", "--no-config", "-c", program]
    done = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "HOME": str(folder), "XDG_CONFIG_HOME": str(folder)},
    )
    assert done.stderr == ""
    return {row.split("\t")[0] for row in done.stdout.splitlines()}


#: Tells what is added when Tab is pressed.
ZSH = r"""
autoload -U compinit && compinit -u -D; source script.zsh; PS1='> '; LISTMAX=0; setopt nobeep
compadd() {
    if [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then builtin compadd "$@"; return $?; fi
    local -a hits
    builtin compadd -A hits "$@"
    print -rl -- $hits >> added
    builtin compadd "$@"
}
complete-and-tell() { zle complete-word; print > done; }
zle -N complete-and-tell
bindkey '^I' complete-and-tell
"""


@functools.cache
def zsh_answers(folder: Path) -> dict[str, set[str]]:
    """What zsh offers for every line: one shell for all, as it starts slowly."""
    (folder / "setup.zsh").write_text(ZSH)
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    found: dict[str, set[str]] = {}
    with subprocess.Popen(
        ["zsh", "-f", "-i"],
        cwd=folder,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "HOME": str(folder), "TERM": "dumb"},
        start_new_session=True,
    ) as process:
        os.close(theirs)
        ask(ours, folder, "source setup.zsh; print > done\n")
        ask(ours, folder, "aioe2e \t")  # the first time, functions are loaded
        for line, _ in [*CASES, *WRONG]:
            (folder / "added").write_text("")
            ask(ours, folder, f"\x15aioe2e {line}\t")
            found[line] = set((folder / "added").read_text().split())
        process.kill()
    os.close(ours)
    return found


def ask(terminal: int, folder: Path, text: str) -> None:
    """Type something, and wait until the shell has got through it."""
    done = folder / "done"
    done.unlink(missing_ok=True)
    os.write(terminal, text.encode())
    end = time.monotonic() + 60
    while not done.exists():
        assert time.monotonic() < end
        if select.select([terminal], [], [], 0.02)[0]:
            os.read(terminal, 65536)


def in_zsh(folder: Path, line: str) -> set[str]:
    return zsh_answers(folder)[line]


SHELLS = [
    pytest.param(in_bash, marks=needs("bash"), id="bash"),
    pytest.param(in_fish, marks=needs("fish"), id="fish"),
    pytest.param(in_zsh, marks=needs("zsh"), id="zsh"),
]


@pytest.mark.parametrize("complete", SHELLS)
@pytest.mark.parametrize(("line", "wanted"), CASES, ids=[line for line, _ in CASES])
def test_what_may_follow_is_offered(
    folder: Path, complete: object, line: str, wanted: set[str]
) -> None:
    assert callable(complete)
    assert wanted <= complete(folder, line)


@pytest.mark.parametrize("complete", SHELLS)
@pytest.mark.parametrize(("line", "unwanted"), WRONG, ids=[line for line, _ in WRONG])
def test_what_may_not_follow_is_not_offered(
    folder: Path, complete: object, line: str, unwanted: set[str]
) -> None:
    assert callable(complete)
    assert not unwanted & complete(folder, line)


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_every_option_of_every_command_is_in_every_script(name: Name) -> None:
    text = script(PARSER, name)
    for command in PARSER.commands:
        for option in PARSER.options(command):
            for word in option.names:
                assert word.lstrip("-") in text, word


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_the_scripts_call_no_program(name: Name) -> None:
    text = script(PARSER, name)
    assert "$(aioe2e" not in text
    assert "(aioe2e" not in text

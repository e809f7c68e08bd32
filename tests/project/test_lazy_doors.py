"""An import loads what a single call needs. The rest loads when it is first used, unseen."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import aioe2e
from aioe2e._lazy import lazy_door

PACKAGE = Path(aioe2e.__file__).parent

#: Modules that ``import aioe2e`` leaves for later; the doors of their rooms are open at once.
LATER = {
    "aioe2e.select",
    "aioe2e.events.values",
    "aioe2e.config.discovery",
    "aioe2e.config.environment",
    "aioe2e.config.profiles",
    *(
        f"aioe2e.{path.relative_to(PACKAGE).with_suffix('').as_posix().replace('/', '.')}"
        for room in ("bulk", "diagnosis", "nodes")
        for path in (PACKAGE / room).glob("[!_]*.py")
    ),
}


def loaded_by(code: str) -> set[str]:
    """The modules of the package that a program has loaded at its end."""
    program = f"{code}\nimport sys; print(*(name for name in sys.modules if 'aioe2e' in name))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def is_lazy(path: Path) -> bool:
    return "lazy_door(" in path.read_text(encoding="utf-8")


DOORS = sorted(path for path in PACKAGE.rglob("__init__.py") if is_lazy(path))
NAMES = [".".join(path.parent.relative_to(PACKAGE.parent).parts) for path in DOORS]


def for_type_checkers(path: Path) -> dict[str, set[str]]:
    """The names that a door imports under ``if TYPE_CHECKING``, by module."""
    found: dict[str, set[str]] = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if not isinstance(node, ast.If) or not ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        for each in node.body:
            if isinstance(each, ast.ImportFrom):
                names = {alias.asname or alias.name for alias in each.names}
                if each.module is None:  # from . import select
                    found |= {name: set() for name in names}
                else:
                    found.setdefault(each.module, set()).update(names)
    return found


def at_run_time(path: Path) -> dict[str, set[str]]:
    """The names in the table of a door, by module."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    [call] = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("lazy_door")
    ]
    [public] = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    ]
    # A table may be made of `__all__`, so it is worked out and not only read.
    table = eval(ast.unparse(call.args[1]), {"__all__": ast.literal_eval(public)})
    return {module: set(names) for module, names in table.items()}


def test_an_import_leaves_for_later_what_single_calls_do_not_need() -> None:
    assert loaded_by("import aioe2e") & LATER == set()


def test_a_session_and_its_views_need_none_of_it_either() -> None:
    code = (
        "import aioe2e\n"
        "secrets = aioe2e.Credentials(api_key='k3y-of-the-user', auth_token='t0ken-of-the-user')\n"
        "session = aioe2e.Session(secrets).at(location='Delhi')\n"
        "session.images\n"
    )
    assert loaded_by(code) & LATER == set()


def test_a_plan_loads_no_events_and_no_diagnosis() -> None:
    loaded = loaded_by("import aioe2e; aioe2e.Plan.delete(['1'], force=True)")
    assert "aioe2e.bulk.plan" in loaded
    assert "aioe2e.events.values" not in loaded
    assert "aioe2e.diagnosis.check" not in loaded


@pytest.mark.parametrize("arguments", ["[]", "['']", "[pathlib.Path('program.py')]", "['-m']"])
def test_a_program_of_any_name_loads_at_once_what_every_call_needs(arguments: str) -> None:
    loaded = loaded_by(f"import pathlib, sys; sys.argv = {arguments}; import aioe2e")
    assert "aioe2e.session" in loaded


@pytest.mark.parametrize("name", ["aioe2e", "/usr/bin/aioe2e", r"C:\\Scripts\\aioe2e.exe"])
def test_the_command_line_loads_nothing_before_its_command_is_known(name: str) -> None:
    loaded = loaded_by(f"import sys; sys.argv = ['{name}', '--version']; import aioe2e")
    assert "aioe2e.session" not in loaded


@pytest.mark.parametrize("path", DOORS, ids=NAMES)
def test_type_checkers_see_the_names_that_a_door_hands_out(path: Path) -> None:
    assert for_type_checkers(path) == at_run_time(path)


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_of_a_door_is_there_and_listed(name: str) -> None:
    door = importlib.import_module(name)
    assert set(door.__all__) <= set(dir(door))
    for public in door.__all__:
        assert getattr(door, public) is getattr(door, public)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_is_mistyped_is_an_attribute_error(name: str) -> None:
    door = importlib.import_module(name)
    with pytest.raises(AttributeError, match=f"module '{name}' has no attribute 'Sessionn'"):
        door.Sessionn  # noqa: B018  # the look-up is the test


def test_everything_can_be_imported_with_a_star() -> None:
    loaded = loaded_by("from aioe2e import *; assert Report.__name__ == 'Report'; select.where")
    public = {"bulk.plan", "diagnosis.check", "events.values", "select"}
    assert loaded >= {f"aioe2e.{module}" for module in public}


def test_modules_of_the_package_are_attributes_of_it() -> None:
    loaded = loaded_by("import aioe2e; aioe2e.select.where, aioe2e.events.Event, aioe2e.bulk.Plan")
    assert loaded >= {"aioe2e.select", "aioe2e.events.values", "aioe2e.bulk.plan"}


def test_what_is_pickled_is_read_where_nothing_was_loaded_yet(tmp_path: Path) -> None:
    stored = tmp_path / "plan"
    code = "import aioe2e, pathlib, pickle; plan = aioe2e.Plan.delete(['1'], force=True)"
    loaded_by(f"{code}; pathlib.Path({str(stored)!r}).write_bytes(pickle.dumps(plan))")
    loaded_by(
        f"import pathlib, pickle; plan = pickle.loads(pathlib.Path({str(stored)!r}).read_bytes())\n"
        "assert [step.target for step in plan] == ['1']"
    )


@pytest.mark.parametrize("name", ["Report", "Check", "Session", "RunEvent", "events", "select"])
def test_help_finds_what_has_not_been_loaded(name: str) -> None:
    program = f"import pydoc; print(pydoc.plain(pydoc.render_doc('aioe2e.{name}')))"
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    assert f"aioe2e.{name}" in told or f"class {name}" in told


class TestALazyDoor:
    """On a package of its own."""

    @pytest.fixture
    def house(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
        folder = tmp_path / "lazy_house"
        folder.mkdir()
        (folder / "__init__.py").write_text("")
        (folder / "kitchen.py").write_text("class Stove: pass\nclass Pan: pass\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        importlib.import_module("lazy_house")
        yield "lazy_house"
        for name in ("lazy_house", "lazy_house.kitchen"):
            sys.modules.pop(name, None)

    def test_it_loads_a_module_with_the_first_use_of_a_name(self, house: str) -> None:
        get, _ = lazy_door(house, {"kitchen": ["Stove"]})
        assert "lazy_house.kitchen" not in sys.modules
        stove = get("Stove")
        assert stove is sys.modules["lazy_house.kitchen"].Stove
        assert vars(sys.modules[house])["Stove"] is stove

    def test_it_hands_out_nothing_that_is_not_in_its_table(self, house: str) -> None:
        get, names = lazy_door(house, {"kitchen": ["Stove"]})
        with pytest.raises(AttributeError, match="Pan"):
            get("Pan")
        assert {"Stove", "kitchen"} <= set(names())
        assert "Pan" not in names()

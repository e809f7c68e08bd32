"""The house: a folder is a room, entered by its door; no room is crowded; no import goes in a circle."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs
import pytest

import aioe2e

PACKAGE = Path(aioe2e.__file__).parent
#: Modules in one folder, its door included.
MOST_MODULES = 16


@attrs.frozen
class Import:
    """That one module imports another; the names are dotted, ``aioe2e`` included."""

    importer: str
    imported: str
    line: int


def rooms(root: Path) -> set[str]:
    """The folders of a package that have a door."""
    return {door.parent.name for door in root.glob("*/__init__.py")}


def modules(root: Path) -> dict[str, Path]:
    """Every module of a package by its dotted name; a door has the name of its room."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = (root.name, *path.relative_to(root).with_suffix("").parts)
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


def _base(importer: str, path: Path, level: int) -> list[str]:
    """The package that a relative import of so many dots starts from."""
    inside = importer.split(".")
    package = inside if path.name == "__init__.py" else inside[:-1]
    return package[: len(package) - level + 1]


def imports(root: Path) -> Iterator[Import]:
    """All imports within a package, also those under ``TYPE_CHECKING`` and within functions."""
    known = modules(root)
    for importer, path in known.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for name in _targets(node, importer, path):
                imported = _module_of(name, known)
                door, _, handed_out = (imported or "").rpartition(".")
                if "." in door and handed_out in exported(known[door]):
                    imported = door  # a name of the door that is that of a module, too
                if imported is not None:
                    yield Import(importer, imported, getattr(node, "lineno", 0))


@functools.cache
def exported(path: Path) -> frozenset[str]:
    """The names in the ``__all__`` of a module."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return frozenset(ast.literal_eval(node.value))
    return frozenset()


def _targets(node: ast.AST, importer: str, path: Path) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        start = ".".join(_base(importer, path, node.level)) if node.level else ""
        whole = ".".join(part for part in (start, node.module or "") if part)
        yield from (f"{whole}.{alias.name}" for alias in node.names)


def _module_of(name: str, known: Mapping[str, Path]) -> str | None:
    """The module that a dotted name stands in."""
    while name:
        if name in known:
            return name
        name = name.rpartition(".")[0]
    return None


def room_of(module: str) -> str:
    """The room of a module: its folder at the top of the package, or itself where it has none."""
    return ".".join(module.split(".")[:2])


def through_walls(root: Path) -> list[Import]:
    """The imports that enter a room other than by its door."""
    return [
        found
        for found in imports(root)
        if room_of(found.importer) != room_of(found.imported)
        and found.imported != room_of(found.imported)
    ]


def in_circles(root: Path) -> set[str]:
    """Modules that import themselves by way of others."""
    follows: dict[str, set[str]] = {name: set() for name in modules(root)}
    for found in imports(root):
        if found.importer != found.imported:
            follows[found.importer].add(found.imported)

    def reached(start: str) -> set[str]:
        found: set[str] = set()
        left = [start]
        while left:
            new = follows[left.pop()] - found
            found |= new
            left.extend(new)
        return found

    return {name for name in follows if name in reached(name)}


def test_rooms_are_entered_by_their_doors() -> None:
    wrong = [
        f"{found.importer}:{found.line} imports {found.imported}"
        for found in through_walls(PACKAGE)
    ]
    assert wrong == []


@pytest.mark.parametrize(
    "folder",
    [PACKAGE, *sorted({path.parent for path in PACKAGE.rglob("*/__init__.py")} - {PACKAGE})],
    ids=lambda folder: str(folder.relative_to(PACKAGE.parent)),
)
def test_no_folder_is_crowded(folder: Path) -> None:
    inside = [path.name for path in folder.glob("*.py")]
    assert len(inside) <= MOST_MODULES, sorted(inside)


def test_no_import_goes_in_a_circle() -> None:
    assert sorted(in_circles(PACKAGE)) == []


class TestTheTestsThemselves:
    """What they look for, they find."""

    def package(self, root: Path, **sources: str) -> Path:
        for name, source in sources.items():
            path = root / "house" / f"{name.replace('__', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source, encoding="utf-8")
        for folder in {path.parent for path in (root / "house").rglob("*.py")}:
            (folder / "__init__.py").touch()
        return root / "house"

    @pytest.mark.parametrize(
        "source",
        [
            "from house.kitchen.stove import heat",
            "from .kitchen.stove import heat",
            "import house.kitchen.stove",
            "from .kitchen import stove",
            "if TYPE_CHECKING:\n    from .kitchen.stove import heat",
            "def cook():\n    from .kitchen.stove import heat",
        ],
    )
    def test_a_wall_that_is_broken_through_is_seen(self, tmp_path: Path, source: str) -> None:
        root = self.package(tmp_path, hall=source, kitchen__stove="heat = 1")
        assert [(found.importer, found.imported) for found in through_walls(root)] == [
            ("house.hall", "house.kitchen.stove")
        ]

    @pytest.mark.parametrize("source", ["from .kitchen import heat", "from house import kitchen"])
    def test_a_door_may_be_used(self, tmp_path: Path, source: str) -> None:
        root = self.package(
            tmp_path, hall=source, kitchen__stove="from .pan import fry", kitchen__pan=""
        )
        assert through_walls(root) == []
        assert len(list(imports(root))) == 2

    def test_a_circle_under_type_checking_is_seen(self, tmp_path: Path) -> None:
        root = self.package(
            tmp_path,
            kitchen__stove="from .pan import fry",
            kitchen__pan="if TYPE_CHECKING:\n    from .stove import heat",
        )
        assert in_circles(root) == {"house.kitchen.stove", "house.kitchen.pan"}

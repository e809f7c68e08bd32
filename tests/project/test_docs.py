"""The pages under docs/: every Python block runs, every table is what the code says, every link leads somewhere."""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from snippets import INDIA, ROOT, blocks_of, load, run_page, tables, use_in_environment

import aioe2e
from aioe2e.testing import FakeE2E, Rules, made_images

PAGES = sorted((ROOT / "docs").glob("*.md"))
#: Has a test of its own, which follows it step by step.
TUTORIAL = ROOT / "docs" / "tutorial.md"
REFERENCE = sorted((ROOT / "docs" / "reference").glob("*.md"))
ALL = [*PAGES, *REFERENCE, *sorted(ROOT.glob("*.md"))]


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    """A page may set logging up, and leaves it as it was for other tests."""
    root, ours = logging.getLogger(), logging.getLogger("aioe2e")
    handlers, level = root.handlers[:], ours.level
    yield
    root.handlers[:] = handlers
    ours.setLevel(level)


@pytest.fixture
def fake(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, logging_as_before: None
) -> Iterator[FakeE2E]:
    monkeypatch.chdir(tmp_path)
    # It asks the listing about a lost write for ten seconds; those of the pages are settled at once.
    hasty = aioe2e.RetryPolicy(attempts=1, look=0.3)
    monkeypatch.setattr(aioe2e.RetryPolicy, "none", lambda: hasty)
    with FakeE2E(
        made_images(40, today=datetime.now(INDIA)), latency=0.002, save_seconds=0.05
    ) as fake:
        use_in_environment(monkeypatch, fake)
        yield fake


def run(name: str, fake: FakeE2E) -> dict[str, Any]:
    return run_page(ROOT / "docs" / name, fake)


@pytest.mark.parametrize(
    "page", [page.name for page in PAGES if any(blocks_of(page)) and page != TUTORIAL]
)
def test_every_python_block_runs(page: str, fake: FakeE2E) -> None:
    run(page, fake)


def test_the_plan_on_the_page_on_bulk_runs_is_shown_as_it_is_printed() -> None:
    page = ROOT / "docs" / "bulk.md"
    first = next(blocks_of(page))
    shown = re.search(
        r"^```text\n(.*?)\n```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    assert shown is not None
    images = [
        aioe2e.SavedImage(image_id=image["image_id"], name=image["name"])
        for image in made_images(50)
    ]
    names: dict[str, Any] = {"images": images}
    exec(first.compiled(), names)
    assert str(names["plan"]) == shown[1]


def test_the_tqdm_recipe_ends_with_a_full_bar(fake: FakeE2E) -> None:
    left = run("progress.md", fake)
    assert left["bar"].n == left["bar"].total == 40


def test_the_rich_recipe_ends_with_a_full_bar(fake: FakeE2E) -> None:
    left = run("progress.md", fake)
    (task,) = left["bars"].tasks
    assert task.finished
    assert task.completed == 40
    assert "0 failed" in task.fields["note"]


TESTS_OF_USERS = [
    block.text for block in blocks_of(ROOT / "docs" / "testing.md") if "import pytest" in block.text
]


@pytest.mark.parametrize(("number", "passed"), [(0, "1 passed"), (1, "2 passed")])
def test_the_examples_of_the_pytest_fixtures_pass_as_tests_of_a_user(
    number: int, passed: str, tmp_path: Path
) -> None:
    (tmp_path / "test_of_a_user.py").write_text(TESTS_OF_USERS[number], encoding="utf-8")
    installed = importlib.metadata.entry_points(group="pytest11", name="aioe2e")
    plugin = [] if installed else ["-p", "aioe2e.testing.pytest_plugin"]
    # Of pytest-asyncio, which users have. Without a file of its own, the project's would count.
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n", encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *plugin, str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert passed in ended.stdout, ended.stdout + ended.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_tables_are_what_the_code_says_today(page: Path) -> None:
    # To write them anew: python docs/tables.py
    text = page.read_text(encoding="utf-8")
    assert tables().with_tables(text) == text


@pytest.mark.parametrize("name", ["call", "house"])
def test_the_pictures_are_what_the_code_says_today(name: str) -> None:
    # To draw them anew: python docs/pictures.py
    drawn = (ROOT / "docs" / "pictures" / f"{name}.svg").read_text(encoding="utf-8")
    assert drawn == load(ROOT / "docs" / "pictures.py").PICTURES[name]()


def test_a_row_of_the_retry_table_whose_examples_are_not_treated_alike_is_refused() -> None:
    with pytest.raises(ValueError, match="not treated alike"):
        tables().retry_row("409 and 500", [(409, {}), (500, {})], in_doubt=False)


def test_a_rule_or_setting_without_a_comment_is_named() -> None:
    texts = {"commented": "What it means."}
    assert tables().meaning(Rules, "commented", texts) == "What it means."
    with pytest.raises(ValueError, match=r"Rules\.silent has no comment: say .* in a #: comment"):
        tables().meaning(Rules, "silent", texts)


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", ALL, ids=lambda page: page.name)
def test_every_link_within_the_project_leads_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text(encoding="utf-8"))
    for target in targets:
        name, _, anchor = target.partition("#")
        place = (page.parent / name) if name else page
        assert place.is_file(), target
        assert not anchor or anchor in anchors(place), target


def test_the_index_for_code_hosts_names_every_page() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    for page in PAGES:
        assert page.name in ("README.md", "index.md") or f"({page.name})" in index, page.name


def test_the_index_for_code_hosts_has_the_order_of_the_site() -> None:
    hosts = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    site = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    trees = re.findall(r":caption: (.*?)\n\n(.*?)\n```", site, re.DOTALL)
    rows = re.findall(r"^\| (?:\*\*(.*?)\*\*|\[.*?\]\(([\w-]+)\.md\)) \|", hosts, re.MULTILINE)
    assert [caption or name for caption, name in rows] == [
        name for caption, names in trees for name in (caption, *names.split())
    ]


def test_every_example_is_on_the_page_of_examples() -> None:
    page = (ROOT / "docs" / "examples.md").read_text(encoding="utf-8")
    for example in (ROOT / "examples").rglob("*.py"):
        assert f"../{example.relative_to(ROOT).as_posix()}" in page


def test_the_site_has_every_page_and_the_reference_every_public_name() -> None:
    site = (ROOT / "docs" / "index.md").read_text(encoding="utf-8").splitlines()
    assert [page.stem for page in PAGES if page.stem not in site] == ["README", "index"]
    contents = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8").splitlines()
    assert [page.stem for page in REFERENCE if f"reference/{page.stem}" not in contents] == []
    for module, described in described_names().items():
        missing = set(importlib.import_module(module).__all__) - described - {"__version__"}
        # The package has the names of some modules, too: they are described there.
        elsewhere = set().union(*described_names().values()) if module == "aioe2e" else set()
        assert missing - elsewhere - MODULES == set(), module


#: Modules that the package has as attributes.
MODULES = {"errors", "events", "select"}


def described_names() -> dict[str, set[str]]:
    """The names that the pages of the reference describe, by their modules."""
    found: dict[str, set[str]] = {}
    for page in REFERENCE:
        module = "aioe2e"
        for directive, name in re.findall(
            r"^\.\. (currentmodule|autoclass|autofunction|py:data):: ([\w.]+)$",
            page.read_text(encoding="utf-8"),
            re.MULTILINE,
        ):
            if directive == "currentmodule":
                module = name
                found.setdefault(module, set())
            else:
                found[module].add(name)
    return found


def test_the_page_on_design_names_every_room_and_no_place_that_is_not_there() -> None:
    page = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    package = Path(aioe2e.__file__).parent
    rooms = {path.stem for path in package.iterdir() if path.suffix == ".py" or path.is_dir()}
    named = set(re.findall(r"`(?:aioe2e[./])?(\w+)(?:/|\.py)?`", page))
    assert rooms - {"__init__", "__pycache__", "_version", "py"} - named == set()
    places = re.findall(r"`(?:aioe2e/)?((?:\w+/)+\w*(?:\.\w+)?)`", page)
    roots = (package, ROOT)
    gone = [
        place
        for place in places
        if not any((root / place).exists() or (root / f"{place}.py").exists() for root in roots)
    ]
    assert gone == []


def test_the_changelog_has_the_version_of_the_package_on_top() -> None:
    versions = re.findall(
        r"^## \[([^]]+)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert versions[0] in ("Unreleased", aioe2e.__version__)


def public_docstrings() -> Iterator[tuple[str, str]]:
    """The docstrings that the reference shows, by the name of what they describe."""
    for module in map(importlib.import_module, sorted(described_names())):
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isclass(value) or inspect.isfunction(value):
                yield f"{module.__name__}.{name}", inspect.getdoc(value) or ""
            if inspect.isclass(value):
                for member, found in vars(value).items():
                    if not member.startswith("_") and not isinstance(found, type):
                        yield f"{module.__name__}.{name}.{member}", inspect.getdoc(found) or ""


def section(docstring: str, title: str) -> list[str]:
    """The lines of a section of a Google docstring that are indented once."""
    found = re.search(rf"^{title}:\n((?:    .*\n?|\n)+)", docstring, re.MULTILINE)
    return re.findall(r"^    (\S.*)$", found[1], re.MULTILINE) if found else []


def test_no_docstring_says_something_as_a_type_or_a_class_that_is_a_sentence() -> None:
    # Of "Returns:\n    The report: ..." the reference makes "Return type: The report".
    wrong = [
        (name, title, lines[0])
        for name, docstring in public_docstrings()
        for title in ("Returns", "Yields")
        if (lines := section(docstring, title)) and ":" in re.sub(r"`[^`]*`", "", lines[0])
    ]
    wrong += [
        (name, "Raises", line)
        for name, docstring in public_docstrings()
        for line in section(docstring, "Raises")
        if not re.match(r"[A-Z]\w*: ", line)
    ]
    assert wrong == []
    assert len(list(public_docstrings())) > 100


def test_code_on_the_pages_fits_the_column_of_the_site() -> None:
    # The site shows 106 characters on a desktop.
    long = [
        f"{page.name}: {line}"
        for page in ALL
        for kind, block in re.findall(
            r"^```(\w+)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
        )
        for line in block.splitlines()
        if len(line) > 106
    ]
    assert long == []


#: Words that read like a riddle or an old book; the pages for users do without them.
RIDDLES = re.compile(
    r"\b(whoever|surely|nobody|somebody|all the same|what became of|of whatever|beside"
    r"|the makers|told of|look(s|ed)? into|in doubt|faults? that pass(es)?|cannot be meant|cannot be right|makes no sense|stands? above)\b",
    re.IGNORECASE,
)


@pytest.mark.parametrize(
    "page", [page for page in ALL if page.name != "CHANGELOG.md"], ids=lambda page: page.name
)
def test_the_pages_are_in_plain_words(page: Path) -> None:
    prose = re.sub(
        r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
    )
    assert RIDDLES.findall(prose) == []


def test_the_reference_is_in_plain_words() -> None:
    found = [(name, RIDDLES.findall(docstring)) for name, docstring in public_docstrings()]
    assert [(name, words) for name, words in found if words] == []


def test_the_places_that_contributors_are_sent_to_are_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    places = set(re.findall(r"\b(?:aioe2e|tests|docs)/[\w./]*\w/?", text))
    assert len(places) > 15
    assert [place for place in places if not (ROOT / place).exists()] == []

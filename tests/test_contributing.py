"""What CONTRIBUTING.md and the templates tell a contributor to do can be done."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from mailassay import __version__

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "milter/mailassay"
MAKEFILE = (ROOT / "Makefile").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
FORMS = sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"))
TEXTS = [ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", ROOT / ".github/pull_request_template.md", *FORMS]
CODE = "\n".join(
    path.read_text()
    for path in [*PACKAGE.rglob("*.py"), *(ROOT / "tests").glob("*.py"), *(ROOT / "tools/reference").glob("*.py")]
    if path != Path(__file__)
)
PATH = re.compile(r"[\w.-]*/[\w./<>-]*|[\w-]+\.(?:md|py|yaml)")


def quoted(text: str) -> set[str]:
    """What stands in back-quotes."""
    return set(re.findall("`([^`\n]+)`", text))


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_what_make_is_told_to_make_is_there(path: Path) -> None:
    targets = {".venv/.ready", *re.findall(r"^([\w-]+):", MAKEFILE, re.MULTILINE)}
    assert set(re.findall(r"(?:`|^ {4})make ([\w./-]+)", path.read_text(), re.MULTILINE)) <= targets


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_files_that_are_named_are_there(path: Path) -> None:
    known = {each.name for each in ROOT.iterdir()} | {each.name for each in PACKAGE.rglob("*.py")}
    named = {each for each in quoted(path.read_text()) if PATH.fullmatch(each)}
    for each in named - known - {"mailassay.yaml", "message.eml"}:
        pattern = re.sub("<[a-z]+>", "*", each).rstrip("/")
        assert any(ROOT.glob(pattern)) or any(PACKAGE.glob(pattern)), each


def test_tests_that_are_named_are_there() -> None:
    named = re.findall(r"T=(tests/\w+\.py)(?:::(\w+))?", CONTRIBUTING)
    assert named
    for path, test in named:
        assert f"def {test}" in (ROOT / path).read_text()


def test_names_in_the_recipes_are_there() -> None:
    """A name that was changed in the program is wrong here, too."""
    named = {each for each in quoted(CONTRIBUTING) if re.fullmatch(r"_?[A-Za-z]\w*(\.\w+)?", each)}
    names = {each.rpartition(".")[2] for each in named if not PATH.fullmatch(each)}
    assert {"_COMMANDS", "limits", "DmarcActions"} <= names
    assert not {each for each in names if not re.search(rf"\b{each}\b", CODE)}


def test_pre_commit_runs_what_make_lint_runs() -> None:
    """From .venv, so that the versions are those of the tests."""
    config: Any = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    hooks = [hook for repo in config["repos"] for hook in repo["hooks"]]
    assert {repo["repo"] for repo in config["repos"]} == {"local"}
    rules = MAKEFILE.partition("\nlint:")[2].partition("\n\n")[0]
    lint = [each.removesuffix(" .") for each in re.findall(r"@\$\(RUN\) -m (.+)", rules)]
    commands = [hook["entry"].removeprefix(".venv/bin/python -m ").replace(" --force-exclude", "") for hook in hooks]
    assert commands == ["make --no-print-directory .venv/.ready", *lint]


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_a_form_is_one(path: Path) -> None:
    """As GitHub's syntax for issue forms has it."""
    form: Any = yaml.safe_load(path.read_text())
    assert set(form) == {"name", "description", "body"}
    inputs = [part for part in form["body"] if part["type"] != "markdown"]
    assert {part["type"] for part in inputs} <= {"textarea", "input", "dropdown", "checkboxes"}
    assert all(part["attributes"]["label"] for part in inputs)
    assert len({part["id"] for part in inputs}) == len(inputs)
    assert any(part.get("validations", {}).get("required") for part in inputs)


def test_whatever_lets_mail_in_is_reported_in_private() -> None:
    assert all("SECURITY.md" in path.read_text() for path in FORMS if path.name != "idea.yml")
    assert "`SECURITY.md`" in CONTRIBUTING


def test_the_version_is_that_of_the_changelog() -> None:
    """In the package, in Debian's, and so in the manual pages."""
    newest = re.search(r"^## ([0-9.]+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    stated = re.search(r"^version = (.*)$", (ROOT / "setup.cfg").read_text(), re.MULTILINE)
    assert newest
    assert stated
    assert newest[1] == stated[1] == __version__

"""The page on standards says what the tests say."""

from pathlib import Path

from .page import METHODS, PAGE, page


def test_the_page_is_what_the_tests_say():
    assert PAGE.read_text() == page(), "run: python -m tests.standards"


def test_every_file_is_on_the_page():
    assert {path.stem for path in Path(__file__).parent.glob("test_*.py")} == {"test_page"} | {
        f"test_{method}" for method in METHODS
    }

"""What pages and PDFs load is what package.json names, unchanged, with its licence."""

import hashlib
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
FOLDERS = [
    ROOT / "backend/tollkeeper/web/admin/static/vendor",
    ROOT / "backend/tollkeeper/invoices/fonts",
    ROOT / "tests/web/vendor",
]


@pytest.mark.parametrize("folder", FOLDERS, ids=["pages", "invoices", "tests"])
def test_vendored_files_are_the_ones_that_are_named(folder: Path) -> None:
    package_json = json.loads((ROOT / "package.json").read_text())
    wanted = {**package_json["dependencies"], **package_json["devDependencies"]}
    for package, facts in json.loads((folder / "versions.json").read_text()).items():
        assert facts["version"] == wanted[package], f"run `make assets` after changing {package}"
        assert (folder / f"{package}.LICENSE").read_text().strip()
        for name, digest in facts["sha256"].items():
            assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest


def test_templates_load_nothing_from_elsewhere_and_hold_no_inline_code() -> None:
    for template in sorted((ROOT / "backend/tollkeeper/web/admin/templates").rglob("*.html")):
        text = template.read_text()
        for forbidden in (
            'src="http',
            "src='http",
            'src="//',
            "<style",
            " style=",
            " onclick=",
            "hx-on",
            "javascript:",
        ):
            assert forbidden not in text, f"{template.name} holds {forbidden!r}"

"""Copy the npm packages of package.json that pages, PDFs and tests need, with their licences: `make assets`.

Pages and PDFs load nothing from elsewhere, and neither `make demo` nor `make test` needs npm: what is copied is
committed. To update: change the version in package.json, run `npm install --package-lock-only`, run this, look at the
pages and at the PDF of an invoice.
"""

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = ROOT / "backend/tollkeeper/web/admin/static/vendor"
FONTS = ROOT / "backend/tollkeeper/invoices/fonts"
TESTS = ROOT / "tests/web/vendor"

# file in node_modules -> folder that gets it
FILES = {
    "htmx.org/dist/htmx.min.js": PAGES,
    "uplot/dist/uPlot.iife.min.js": PAGES,
    "uplot/dist/uPlot.min.css": PAGES,
    "dejavu-fonts-ttf/ttf/DejaVuSansCondensed.ttf": FONTS,
    "dejavu-fonts-ttf/ttf/DejaVuSansCondensed-Bold.ttf": FONTS,
    "axe-core/axe.min.js": TESTS,
}


def main() -> None:
    """Install the locked packages into a temporary folder and copy what is listed."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(ROOT / name, folder)
        subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder, check=True)
        modules = Path(folder) / "node_modules"
        for target in {PAGES, FONTS, TESTS}:
            vendor([name for name in FILES if FILES[name] == target], modules, target)


def vendor(names: list[str], modules: Path, target: Path) -> None:
    """Copy files and licences of these packages and write what they are to versions.json."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    versions: dict[str, dict[str, object]] = {}
    for name in names:
        package = name.partition("/")[0]
        facts = json.loads((modules / package / "package.json").read_text())
        shutil.copy(modules / name, target / Path(name).name)
        shutil.copy(modules / package / "LICENSE", target / f"{package}.LICENSE")
        entry = versions.setdefault(package, {"version": facts["version"], "license": facts["license"], "sha256": {}})
        hashes = entry["sha256"]
        assert isinstance(hashes, dict)
        hashes[Path(name).name] = hashlib.sha256((modules / name).read_bytes()).hexdigest()
    (target / "versions.json").write_text(json.dumps(versions, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())

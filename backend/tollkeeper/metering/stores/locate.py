"""Open the archive that a URL names; its client is an extra, which an installation without one need not have."""

from importlib import import_module

from tollkeeper.errors import InvalidInput
from tollkeeper.metering.stores.archive import Archive


def open_archive_at(url: str, password: str | None = None) -> Archive:
    """Open an archive; raises InvalidInput if the URL is wrong or the extra is not installed, Unavailable."""
    try:
        clickhouse = import_module("tollkeeper.metering.stores.clickhouse")
    except ModuleNotFoundError as error:
        raise InvalidInput.of("/EVENTS_URL", f"needs {error.name}: pip install 'tollkeeper[clickhouse]'") from None
    archive: Archive = clickhouse.open_archive(url, password)
    return archive

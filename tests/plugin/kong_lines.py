"""Lines as Kong's file-log writes them."""

import json
from pathlib import Path
from typing import Any

RECORDING = Path(__file__).parent.parent / "recordings/kong/kong-serialize-keyauth.json"
SERIALIZED: dict[str, Any] = json.loads(RECORDING.read_text())


def kong_line(request_id: str) -> str:
    """Return what file-log appends for a request."""
    return json.dumps(SERIALIZED | {"request": SERIALIZED["request"] | {"id": request_id}}) + "\n"

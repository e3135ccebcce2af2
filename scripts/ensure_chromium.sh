#!/bin/sh
# Make sure that the page tests find a Chromium: use one that is there, install Debian's package as root, else say how.
set -eu
if [ -n "${CHROMIUM_PATH:-}" ]; then
    [ -x "$CHROMIUM_PATH" ] && exit 0
    echo "CHROMIUM_PATH is $CHROMIUM_PATH, which is no program." >&2
    exit 1
fi
for name in chromium chromium-browser google-chrome; do
    if command -v "$name" >/dev/null 2>&1; then exit 0; fi
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing chromium for the page tests." >&2
    DEBIAN_FRONTEND=noninteractive
    export DEBIAN_FRONTEND
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; } >/dev/null
    exit 0
fi
echo "The page tests drive a Chromium, and none is here. Install it (Debian, Ubuntu: sudo apt-get install -y chromium;" >&2
echo "Fedora: sudo dnf install chromium) or set CHROMIUM_PATH to one." >&2
exit 1

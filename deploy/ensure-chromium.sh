#!/bin/sh
# Makes sure that the tests of the operators' page find a Chromium and its driver.
#
# Looks for chromedriver and chromium in PATH. Where they are missing, root on Debian or Ubuntu gets the packages; anybody else
# sees what to install. Prints the driver; exits 1 without one.
set -eu

find_browser() {
    command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1 ||
        command -v google-chrome >/dev/null 2>&1 || return 1
    command -v chromedriver 2>/dev/null
}

explain() {
    cat >&2 <<'END'
Chromium and its WebDriver (chromium, chromedriver) are not installed here. Do one of these:
  Debian           sudo apt-get install chromium chromium-driver
  Ubuntu           sudo apt-get install chromium-browser chromium-chromedriver
  Fedora           sudo dnf install chromium chromedriver
  Alpine           sudo apk add chromium chromium-chromedriver
  macOS            brew install --cask google-chrome chromedriver
END
    exit 1
}

find_browser && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then explain; fi
export DEBIAN_FRONTEND=noninteractive
echo "installing Chromium with apt-get" >&2
apt-get update -q >&2
apt-get install -q -y --no-install-recommends chromium chromium-driver >&2 ||
    apt-get install -q -y --no-install-recommends chromium-browser chromium-chromedriver >&2
find_browser || explain

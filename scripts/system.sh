#!/bin/sh
# Looks for what wspy's build needs from the system, by trying it, and on Debian and Ubuntu installs
# what is missing: one apt-get update, one apt-get install, and neither if nothing is missing.
#
# usage: scripts/system.sh PYTHON [DEBIAN-PACKAGE ...]
#
# PYTHON is the interpreter to build for; the packages are wanted besides.
set -eu

python=$1
shift

includes() { # includes HEADER [FLAG]: the compiler finds it
    printf '#include <%s>\n' "$1" | ${CC:-cc} ${2:-} -E -o /dev/null - 2>/dev/null
}

runs() { # runs CODE: the interpreter is there and the code succeeds
    "$python" -c "$1" >/dev/null 2>&1
}

# Prints a line "package: what it is" for each thing that is missing.
find_missing() {
    printf 'int main(void) { return 0; }\n' | ${CC:-cc} -x c -o /dev/null - 2>/dev/null ||
        echo "build-essential: a C compiler"
    includes openssl/evp.h || echo "libssl-dev: the headers of OpenSSL"
    includes zlib.h || echo "zlib1g-dev: the headers of zlib"
    runs '' || echo "python3: $python"
    runs 'import ensurepip, venv' || echo "python3-venv: virtual environments for $python"
    folder=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))' 2>/dev/null) || true
    includes Python.h "-I$folder" || echo "python3-dev: the headers of $python"
    for package; do
        dpkg -s "$package" >/dev/null 2>&1 || echo "$package: $package"
    done
}

packages_of() {
    printf '%s\n' "$1" | cut -d : -f 1 | tr '\n' ' '
}

names_of() {
    printf '%s\n' "$1" | cut -d : -f 2- | paste -s -d , - | sed 's/^ //'
}

fail() {
    printf '%s\n' "$1" >&2
    exit 1
}

if ! runs '' && [ "$python" != python3 ]; then
    fail "there is no $python here: choose another with make PYTHON=..."
fi
if runs '' && ! runs 'import sys; sys.exit(sys.version_info < (3, 10))'; then
    fail "wspy needs Python 3.10 or newer, $python is older: choose another with make PYTHON=..."
fi
missing=$(find_missing "$@")
[ -n "$missing" ] || exit 0

packages=$(packages_of "$missing")
command -v apt-get >/dev/null || fail "wspy needs, and this system lacks: $(names_of "$missing")"
as_root=
if [ "$(id -u)" != 0 ]; then
    as_root=sudo
    command -v sudo >/dev/null || fail "wspy needs packages: as root, run apt-get install $packages"
fi
echo "installing ${packages% }"
$as_root apt-get update -qq
# shellcheck disable=SC2086 # it is a list of words
$as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends $packages >/dev/null

missing=$(find_missing "$@")
[ -z "$missing" ] || fail "still missing: $(names_of "$missing")"

#!/bin/sh
# The slower proofs: `bin/verify.sh halmos` and `bin/verify.sh slither` (both where none is named).
# Expects the tools of requirements.txt on PATH and `npm ci` done; writes only to out-halmos/ and out/.
set -eu
cd "$(dirname "$0")/.."
PATH="$PWD/node_modules/.bin:$PATH"

halmos_() {
    # halmos needs ASTs, which the ordinary build does not keep, so it gets a folder of its own.
    FOUNDRY_PROFILE=halmos forge build --quiet --ast --force
    FOUNDRY_PROFILE=halmos halmos --forge-build-out out-halmos --contract MoneyCheck --function check_ --loop 16 \
        --no-status --solver-timeout-assertion 120000 </dev/null
}

slither_() {
    # slither.db.json holds what was judged, with the reason; anything else fails.
    slither . --config-file slither.config.json --fail-pedantic
}

case "${1:-all}" in
halmos) halmos_ ;;
slither) slither_ ;;
all)
    halmos_
    slither_
    ;;
*)
    echo "usage: bin/verify.sh [halmos|slither]" >&2
    exit 2
    ;;
esac

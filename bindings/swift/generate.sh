#!/usr/bin/env bash
# Regenerate the committed Swift sources of the binding (swift/Sources/TrunnionBindings and
# swift/Sources/TrunnionFFI) from the Rust crate beside this script.
#
#   generate.sh           write them
#   generate.sh --check   only compare; fails when the committed ones are stale
#   generate.sh --out DIR write all three files into DIR instead
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
target=${CARGO_TARGET_DIR:-target}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

if [[ ${TRUNNION_PREBUILT:-} != 1 ]]; then # else library and generator are there: see swift/build.sh
  cargo build --quiet --package trunnion-swift --package trunnion-generators
fi
"$target/debug/swift-bindings" "$target/debug/libtrunnion_swift.a" "$out"
sed -i.orig 's/[[:space:]]*$//' "$out"/* && rm -f "$out"/*.orig

place() { # the committed place of a generated file
  case $1 in
    *.swift) echo "swift/Sources/TrunnionBindings/$1" ;;
    *) echo "swift/Sources/TrunnionFFI/$1" ;;
  esac
}

case ${1:-} in
  --check)
    stale=0
    for file in TrunnionBindings.swift TrunnionFFI.h module.modulemap; do
      cmp -s "$out/$file" "$(place "$file")" || { echo "stale: $(place "$file")" >&2; stale=1; }
    done
    ((stale == 0)) || echo "run bindings/swift/generate.sh and commit the result" >&2
    exit "$stale"
    ;;
  --out) mkdir -p "$2" && cp "$out"/* "$2" ;;
  '') for file in TrunnionBindings.swift TrunnionFFI.h module.modulemap; do cp "$out/$file" "$(place "$file")"; done ;;
  *) echo "usage: generate.sh [--check | --out DIR]" >&2; exit 2 ;;
esac

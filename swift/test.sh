#!/usr/bin/env bash
# Build the engine, the package and the examples, and run the Swift tests: swift/test.sh [ARG of swift test…]
# The examples end up as .build/debug/everything_server and so on; run them through
# `tools/swift-toolchain.sh run` where Swift is not installed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
swift/build.sh swift build
# The servers that the tests sign in to, and the one whose tokens they let in.
[[ ${TRUNNION_PREBUILT:-} == 1 ]] || cargo build --package trunnion --example auth_world --package trunnion-auth-server --bins
exec swift/build.sh swift test --disable-xctest "$@"

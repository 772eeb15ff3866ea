#!/usr/bin/env bash
# Build the engine for Swift and then run a command with it in reach: swift/build.sh [COMMAND [ARG…]]
#
#   swift/build.sh swift build        build package and examples
#   swift/build.sh                    only build the engine
#
# The engine's static library lies alone in target/swift, with a pkg-config file beside it, so that the linker
# takes this one and no shared library. TRUNNION_SWIFT_PROFILE chooses the Cargo profile (dev).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
target=${CARGO_TARGET_DIR:-target}
profile=${TRUNNION_SWIFT_PROFILE:-dev}
case $profile in dev) folder=debug ;; *) folder=$profile ;; esac

# With TRUNNION_PREBUILT=1 the library of that profile is taken as it is: whoever built the whole workspace in one go
# is spared a second build of it with the fewer features that this one package asks for.
[[ ${TRUNNION_PREBUILT:-} == 1 ]] || cargo build --package trunnion-swift --profile "$profile"
mkdir -p "$target/swift"
place=$(cd "$target/swift" && pwd)
library=$target/$folder/libtrunnion_swift.a
if ! cmp -s "$library" "$place/libtrunnion_swift.a"; then
  cp "$library" "$place/libtrunnion_swift.a"
  # SwiftPM does not see that the library has changed, and would keep programs linked with the old one.
  for products in .build/*/debug .build/*/release; do
    [[ -d $products ]] || continue
    rm -rf "$products"/*.xctest
    rm -f "$products"/{vector,bench,everything,task}_server "$products"/exit_program "$products"/{everything,docsearch}_client
  done
fi
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
sed -e "s|@PREFIX@|$place|" -e "s|@LIBDIR@|$place|" -e "s|@VERSION@|$version|" \
  bindings/swift/trunnion-swift.pc.in >"$place/trunnion-swift.pc"

(($# == 0)) && exit
export LIBRARY_PATH=$place${LIBRARY_PATH:+:$LIBRARY_PATH}
export PKG_CONFIG_PATH=$place${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
exec tools/swift-toolchain.sh run "$@"

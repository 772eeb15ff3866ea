#!/usr/bin/env bash
# Runs a program that the Swift toolchain built. With a toolchain of the machine's own the script does nothing
# else. With the unpacked one (tools/swift-toolchain.sh) the program needs that one's C library: it is started
# through its loader, on the machine's own file system, so that the program can in turn start Python, Node and
# the others.
set -euo pipefail
tools=$(dirname "${BASH_SOURCE[0]}")/../../tools/swift-toolchain.sh
root=$("$tools" root)
if command -v swift >/dev/null || [[ ! -s $root/packages ]]; then exec "$@"; fi
loader=$root/usr/lib64/ld-linux-x86-64.so.2
[[ $(uname -m) != aarch64 ]] || loader=$root/usr/lib/ld-linux-aarch64.so.1
exec "$loader" --library-path "$root/usr/lib/$(uname -m)-linux-gnu:$root/usr/libexec/swift/lib/swift/linux" "$@"

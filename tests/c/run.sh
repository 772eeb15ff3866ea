#!/bin/sh
# Installs libtrunnion into a scratch prefix, builds tests and examples against it and runs them, plain and
# under valgrind. With CI=true a missing tool is a failure, else a printed SKIP.
#
#     tests/c/run.sh [TEST]      TEST: only this one, such as test_json
#
# WITHOUT_VALGRIND=1 leaves valgrind out.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
target=$(cd "$root" && cargo metadata --no-deps --format-version 1 | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
prefix=$target/c-sdk
out=$target/c-tests
cc=${CC:-cc}
cxx=${CXX:-c++}
warnings="-Wall -Wextra -Werror -pedantic"
tests="test_json test_misuse test_local test_process test_carried test_auth test_guard test_tasks"
only=${1:-}

step() { printf '\n== %s\n' "$*"; }

# have PROGRAM WHAT: returns 0 if the program is installed; without it, WHAT is skipped.
have() {
    if command -v "$1" >/dev/null 2>&1; then return 0; fi
    echo "SKIP $2: no $1"
    if [ "${CI:-}" = true ]; then exit 1; fi
    return 1
}

step install
"$root/bindings/c/install.sh" "$prefix" dev
rm -rf "$out"
mkdir -p "$out/bin"

step "exported symbols"
if [ "$(uname -s)" = Linux ]; then
    nm -D --defined-only "$prefix/lib/libtrunnion.so" | awk '{print $3}' | sort >"$out/symbols"
    LC_ALL=C sort "$root/bindings/c/symbols.txt" >"$out/wanted"
    LC_ALL=C sort -o "$out/symbols" "$out/symbols"
    diff "$out/wanted" "$out/symbols"
    readelf -d "$prefix/lib/libtrunnion.so" | grep -q 'SONAME.*\[libtrunnion\.so\.[0-9]*\]'
fi

step examples
make -s -C "$root/examples/c" PREFIX="$prefix" OUT="$out/bin" CC="$cc" CFLAGS="-O1 -g"

step "tests, shared and static"
PKG_CONFIG_PATH="$prefix/lib/pkgconfig${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}"
export PKG_CONFIG_PATH
shared="$(pkg-config --cflags --libs trunnion) -Wl,-rpath,$prefix/lib"
static=$(pkg-config --cflags --libs --static trunnion)
for test in $tests dying_server search_server; do
    # shellcheck disable=SC2086
    $cc -std=c11 $warnings -O1 -g -o "$out/bin/$test" "$here/$test.c" -pthread $shared
done
# shellcheck disable=SC2086
$cc -std=c11 $warnings -O1 -g -o "$out/bin/test_vectors" "$here/test_vectors.c" "$here/vectors_server.c" -pthread $shared
# shellcheck disable=SC2086
$cc -std=c11 $warnings -O1 -g -o "$out/bin/test_local_static" "$here/test_local.c" -pthread $static
if [ "$(uname -s)" = Linux ]; then
    # No shared library of ours, and with -static-pie none at all.
    if readelf -d "$out/bin/test_local_static" | grep 'NEEDED.*trunnion'; then exit 1; fi
    readelf -d "$out/bin/test_local" | grep -q 'NEEDED.*libtrunnion\.so'
    # shellcheck disable=SC2086
    $cc -std=c11 $warnings -O1 -g -static-pie -o "$out/bin/test_json_static" "$here/test_json.c" -pthread $static \
        2>"$out/static.log" || { cat "$out/static.log"; exit 1; }
    if readelf -d "$out/bin/test_json_static" | grep NEEDED; then exit 1; fi
    "$out/bin/test_json_static"
fi
# shellcheck disable=SC2086
$cxx -std=c++11 $warnings -o "$out/bin/header_cxx" "$here/header.cpp" $shared
"$out/bin/header_cxx"

step "the guide's snippets"
awk -v out="$out" -f "$here/snippets.awk" "$root/docs/c.md"
for snippet in "$out"/snippet-*.c; do
    # shellcheck disable=SC2046
    $cc -std=c11 $warnings -Wno-unused -fsyntax-only $(pkg-config --cflags trunnion) "$snippet"
done

step cmake
if have cmake "the CMake package"; then
    cmake -S "$here/cmake" -B "$out/cmake" -DCMAKE_PREFIX_PATH="$prefix" >"$out/cmake.log"
    cmake --build "$out/cmake" >>"$out/cmake.log" || { cat "$out/cmake.log"; exit 1; }
    for kind in shared static; do
        "$out/cmake/$kind" </dev/null
    done
fi

PROGRAMS=$out/bin
AUTH_WORLD=$target/debug/examples/auth_world
export PROGRAMS AUTH_WORLD
[ "${TRUNNION_PREBUILT:-}" = 1 ] || cargo build -q --manifest-path "$root/Cargo.toml" -p trunnion --example auth_world

if [ -n "$only" ]; then
    step "$only"
    case $only in
    test_vectors) exec "$out/bin/$only" "$root"/tests/vectors/*.json ;;
    *) exec "$out/bin/$only" ;;
    esac
fi

for test in $tests test_local_static; do
    step "$test"
    "$out/bin/$test"
done

step "golden transcripts"
"$out/bin/test_vectors" "$root"/tests/vectors/*.json

# The everything pair must agree on every line of the tour.
tour='{"revision":"2026-07-28","tools":true,"sum":5,"echo":"héllo ✓ 😀\n\"q\"","progress":[1,2,3],"slow":"done","fail":"boom","unknown":-32602,"invalid":"isError","cancel":"cancelled",'
tour() {
    got=$("$@")
    case $got in
    "$tour"*'"completion":["paris","park","party"],"after":"still here"}') echo "ok $*" ;;
    *) printf 'wrong tour from %s:\n%s\n' "$*" "$got"; exit 1 ;;
    esac
}
step "the everything pair"
for driver in "" " --threaded"; do
    tour "$out/bin/everything_client" "stdio:$out/bin/everything_server --stdio$driver"
    # A named pipe, so that reading waits for the line.
    rm -f "$out/log"
    mkfifo "$out/log"
    # shellcheck disable=SC2086
    "$out/bin/everything_server" --http 0 $driver 2>"$out/log" &
    server=$!
    exec 3<"$out/log"
    read -r line <&3
    url=${line#listening on }
    tour "$out/bin/everything_client" "$url"
    kill -TERM "$server"
    wait "$server"
    exec 3<&-
done

step "the docsearch client"
mkfifo "$out/until"
"$out/bin/search_server" <"$out/until" >"$out/log" &
server=$!
exec 4>"$out/until" 3<"$out/log"
read -r url <&3
[ "$("$out/bin/docsearch_client" "$url" search 'a "b" ✓')" = '{"hits":[{"snippet":"a \"b\" ✓", "limit":10}]}' ]
[ "$("$out/bin/docsearch_client" "$url" search x 3)" = '{"hits":[{"snippet":"x", "limit":3}]}' ]
exec 4>&-
wait "$server"
exec 3<&-
if "$out/bin/docsearch_client" "$url" search x 2>/dev/null; then exit 1; fi

if [ "${WITHOUT_VALGRIND:-}" = 1 ]; then
    echo "SKIP leak checks: WITHOUT_VALGRIND=1"
elif have valgrind "leak checks"; then
    check="valgrind -q --leak-check=full --show-leak-kinds=definite,indirect --errors-for-leak-kinds=definite,indirect"
    check="$check --error-exitcode=9"
    # The forks of these end by running another program.
    alone="$check --child-silent-after-fork=yes"
    # Growth is what valgrind looks for itself.
    export FEW_ROUNDS=1
    # The longest check goes beside the others.
    # shellcheck disable=SC2086
    $check "$out/bin/test_vectors" "$root"/tests/vectors/*.json >"$out/vectors.log" 2>&1 &
    vectors=$!
    trap 'kill "$vectors" 2>/dev/null || true' EXIT
    for test in $tests; do
        step "$test under valgrind"
        # shellcheck disable=SC2086
        $alone "$out/bin/$test"
    done
    step "the everything pair under valgrind"
    # Under valgrind a server may take longer to start than a client waits before it takes it for an older one.
    export MCP_INTEROP_ERA=modern
    # shellcheck disable=SC2086
    tour $alone "$out/bin/everything_client" \
        "stdio:$alone --log-file=$out/server.log $out/bin/everything_server --stdio"
    if [ -s "$out/server.log" ]; then cat "$out/server.log"; exit 1; fi
    step "golden transcripts under valgrind"
    wait "$vectors" || { cat "$out/vectors.log"; exit 1; }
    trap - EXIT
fi

step "C: all is well"

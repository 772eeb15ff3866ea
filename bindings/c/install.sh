#!/bin/sh
# Builds libtrunnion and installs it: header, shared and static library, pkg-config file, CMake package.
#
#     bindings/c/install.sh PREFIX [PROFILE]      PROFILE: release (default) or dev
#
# DESTDIR is put before PREFIX when it is set, as packagers expect. The result may be moved. For a PREFIX that is not
# yours to write, install into a DESTDIR as yourself and copy that as root, who needs no cargo then.
#
# For packagers: TRUNNION_LIBRARIES names a folder of libraries that are built already, TRUNNION_TARGET the platform that they
# are for (as Rust calls it), and TRUNNION_LIBDIR the folder of libraries below PREFIX (lib), such as lib/x86_64-linux-gnu.
set -eu

[ $# -ge 1 ] || { echo "usage: $0 PREFIX [PROFILE]" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
profile=${2:-release}
case $1 in /*) prefix=$1 ;; *) prefix=$PWD/$1 ;; esac
dest=${DESTDIR:-}$prefix
cd "$here"

version=$(cargo pkgid -p trunnion-c | sed 's/.*[#@]//')
major=${version%%.*}
target=$(cargo metadata --no-deps --format-version 1 | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
folder=$profile
[ "$profile" != dev ] || folder=debug
built=${TRUNNION_LIBRARIES:-$target/$folder}
libdir=${TRUNNION_LIBDIR:-lib}
# From a folder in that of the libraries to PREFIX.
up=..$(echo "/$libdir" | sed 's|/[^/]*|/..|g')

# The libraries a static link needs are known to the compiler alone; cargo repeats its note when nothing is
# left to build. With TRUNNION_PREBUILT=1 the libraries of that profile are taken as they are, and the compiler is
# asked for an empty one: the engine adds no system library to those of the standard library.
log=$(mktemp -d)
trap 'rm -rf "$log"' EXIT
if [ "${TRUNNION_PREBUILT:-}" = 1 ] || [ -n "${TRUNNION_LIBRARIES:-}" ]; then
    rustc ${TRUNNION_TARGET:+--target "$TRUNNION_TARGET"} --crate-type staticlib --print native-static-libs -o "$log/empty.a" - </dev/null 2>"$log/note" ||
        { cat "$log/note" >&2; exit 1; }
else
    echo "building libtrunnion $version ($profile), which takes some minutes the first time" >&2
    # What cargo says is shown as it comes, and kept.
    mkfifo "$log/said"
    tee "$log/note" <"$log/said" >&2 &
    built_well=true
    cargo rustc --locked -p trunnion-c --lib --profile "$profile" -- --print native-static-libs 2>"$log/said" ||
        built_well=false
    wait "$!"
    $built_well || exit 1
fi
private=$(sed -n 's/^note: native-static-libs: //p' "$log/note" | tail -n 1)
# The C compiler adds its own: libgcc_s to a program with shared libraries, libgcc_eh to one without any.
private=$(echo " $private " | sed 's/ -lgcc_s / /g; s/^ *//; s/ *$//')
[ -n "$private" ] || { cat "$log/note" >&2; echo "the compiler named no native-static-libs" >&2; exit 1; }

mkdir -p "$dest/include" "$dest/$libdir/pkgconfig" "$dest/$libdir/cmake/trunnion" "$dest/$libdir/trunnion/static"
put() { rm -f "$2" && cp "$1" "$2" && chmod "$3" "$2"; }
put include/trunnion.h "$dest/include/trunnion.h" 644
put "$built/libtrunnion_c.a" "$dest/$libdir/libtrunnion.a" 644
# A folder without the shared library, for `pkg-config --static`.
ln -sf ../../libtrunnion.a "$dest/$libdir/trunnion/static/libtrunnion.a"
case ${TRUNNION_TARGET:-$(uname -s)} in
Darwin | *apple*)
    shared=libtrunnion.$version.dylib
    soname=libtrunnion.$major.dylib
    plain=libtrunnion.dylib
    put "$built/libtrunnion_c.dylib" "$dest/$libdir/$shared" 755
    ;;
*)
    shared=libtrunnion.so.$version
    soname=libtrunnion.so.$major
    plain=libtrunnion.so
    put "$built/libtrunnion_c.so" "$dest/$libdir/$shared" 755
    ;;
esac
ln -sf "$shared" "$dest/$libdir/$soname"
ln -sf "$soname" "$dest/$libdir/$plain"

fill() {
    sed -e "s|@VERSION@|$version|g" -e "s|@MAJOR@|$major|g" -e "s|@PRIVATE@|$private|g" \
        -e "s|@LIBDIR@|$libdir|g" -e "s|@UP@|$up|g" -e "s|@SONAME@|$soname|g" -e "s|@SHARED@|$plain|g" "$1" >"$2"
}
fill trunnion.pc.in "$dest/$libdir/pkgconfig/trunnion.pc"
fill trunnion-libdir.pc.in "$dest/$libdir/pkgconfig/trunnion-libdir.pc"
fill cmake/trunnion-config.cmake.in "$dest/$libdir/cmake/trunnion/trunnion-config.cmake"
fill cmake/trunnion-config-version.cmake.in "$dest/$libdir/cmake/trunnion/trunnion-config-version.cmake"
echo "installed libtrunnion $version in $dest"

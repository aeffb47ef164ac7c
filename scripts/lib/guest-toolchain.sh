# The compiler that makes WebAssembly components of Rust; sourced by what builds drivers.
# shellcheck shell=bash disable=SC2034,SC2154 # sets what others read, reads what they set
#
# CONGRESS_GUEST_TOOLCHAIN chooses it:
#   rustup   the active toolchain with its target wasm32-wasip2 (added by rustup if need be)
#   debian   Debian's compiler and a standard library built here once, for machines that reach
#            package registries but not rustup's server
#   auto     (default) the target if it is installed, else rustup, else debian
#
# Wants packages.sh sourced, and `sysroots` to be the folder for that standard library.

target=wasm32-wasip2
packages=(rustc-web cargo-web rust-web-src wasi-libc)

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() {
  say "error: $1"
  shift
  for line in "$@"; do printf '  %s\n' "$line" >&2; done
  exit 1
}

both_routes=(
  "Either let rustup install the target (needs static.rust-lang.org):"
  "    rustup target add $target"
  "or use Debian's compiler (needs a Debian mirror, and root for apt-get):"
  "    apt-get install --no-install-recommends ${packages[*]}"
  "    CONGRESS_GUEST_TOOLCHAIN=debian $0"
)

active_sysroot() { rustc --print sysroot 2>/dev/null; }

target_installed() { [[ -d "$(active_sysroot)/lib/rustlib/$target/lib" ]]; }

add_target() {
  command -v rustup >/dev/null && rustup target add "$target" >&2 && target_installed
}

missing_packages() {
  local package
  for package in "${packages[@]}"; do
    dpkg-query -W -f '${Status}\n' "$package" 2>/dev/null | grep -qx 'install ok installed' ||
      printf '%s\n' "$package"
  done
}

# Whether Debian's packages are there, or could be installed now.
debian_usable() {
  command -v dpkg-query >/dev/null || return 1
  [[ -z $(missing_packages) ]] || { [[ $EUID -eq 0 ]] && command -v apt-get >/dev/null; }
}

ensure_packages() {
  local missing
  mapfile -t missing < <(missing_packages)
  ((${#missing[@]})) || return 0
  [[ $EUID -eq 0 ]] || die "these Debian packages are missing: ${missing[*]}" \
    "Install them as root, then run this again:" \
    "    apt-get install --no-install-recommends ${missing[*]}"
  say "installing ${missing[*]}"
  install_packages "${missing[@]}" || die "apt-get could not install ${missing[*]}" "${both_routes[@]}"
}

use_rustup() {
  compiler=$(command -v rustc) || die "no rustc in PATH" "${both_routes[@]}"
  cargo=$(command -v cargo) || die "no cargo in PATH" "${both_routes[@]}"
  sysroot=$(active_sysroot)
  key=$("$compiler" --version | cut -d' ' -f2)-$(short_hash <<<"$("$compiler" -vV)")
  rust_sources=$sysroot/lib/rustlib/src/rust
}

# Debian has no linker for WebAssembly; rustup's toolchains carry one that needs no target.
use_debian() {
  command -v dpkg-query >/dev/null || die "this machine has no dpkg: the Debian route works on Debian and its kin" "${both_routes[@]}"
  ensure_packages
  compiler=/usr/bin/rustc
  cargo=/usr/bin/cargo
  local host tools libc
  host=$(rustc -vV | sed -n 's/^host: //p')
  tools=$(active_sysroot)/lib/rustlib/$host/bin
  [[ -x $tools/wasm-component-ld && -x $tools/gcc-ld/wasm-ld ]] ||
    die "no wasm-component-ld in $tools" \
      "Debian's compiler links WebAssembly with the linker of a rustup toolchain (any version since 1.82);" \
      "$(command -v rustc || echo rustc) is not one."
  export PATH=$tools/gcc-ld:$tools:$PATH
  export CARGO_TARGET_WASM32_WASIP2_LINKER=$tools/wasm-component-ld

  libc=$(dpkg-query -W -f '${Version}' wasi-libc)
  key=debian-$("$compiler" --version | cut -d' ' -f2)-$(
    { "$compiler" -vV; dpkg-query -W -f '${Version}' rust-web-src; echo "$libc"; declare -f build_sysroot; } | short_hash
  )
  sysroot=$sysroots/$key-$target
  rust_sources=$(/usr/bin/rustc --print sysroot)/lib/rustlib/src/rust
  [[ -d $sysroot ]] || build_sysroot "$sysroot"

  # A wrapper instead of a flag: flags with this folder's name in them would change the bytes.
  wrapper=$sysroot/bin/rustc
  export RUSTC=$wrapper
}

short_hash() { sha256sum | cut -c1-12; }

# Compiles std for the target with Debian's compiler, which must match its sources exactly.
# Ends with one rename, so that neither an interrupted nor a simultaneous run leaves half of it.
build_sysroot() (
  local done=$1 work lib
  say "building the standard library for $target, once for this compiler (about a minute of CPU)"
  mkdir -p "$(dirname "$done")"
  work=$(mktemp -d "$done.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  mkdir -p "$work/empty/src" "$work/sysroot/bin"
  : >"$work/empty/src/lib.rs"
  cat >"$work/empty/Cargo.toml" <<'TOML'
[package]
name = "empty"
version = "0.0.0"
edition = "2024"

[workspace]

[profile.release]
opt-level = "s"
panic = "abort"
TOML
  # -Cembed-bitcode: without it, drivers could not be linked with LTO.
  local flags
  printf -v flags '%s\x1f%s' -Cembed-bitcode=yes \
    "--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
  RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 CARGO_ENCODED_RUSTFLAGS=$flags \
    /usr/bin/cargo build --manifest-path "$work/empty/Cargo.toml" --release \
    -Zbuild-std=std,panic_abort --target "$target" --target-dir "$work/target" >&2
  lib=$work/sysroot/lib/rustlib/$target/lib
  mkdir -p "$lib/self-contained"
  cp "$work/target/$target/release/deps/"*.rlib "$lib/"
  rm -f "$lib"/libempty*
  cp /usr/lib/wasm32-wasi/{libc.a,crt1-command.o,crt1-reactor.o} "$lib/self-contained/"
  cat >"$work/sysroot/bin/rustc" <<'SH'
#!/bin/sh
# Debian's compiler, with the std beside this file when it compiles for that target.
here=$(dirname "$(dirname "$0")")
case " $* " in
*" --target wasm32-wasip2 "*) exec /usr/bin/rustc --sysroot "$here" "$@" ;;
*) exec /usr/bin/rustc "$@" ;;
esac
SH
  chmod +x "$work/sysroot/bin/rustc"
  mv -T "$work/sysroot" "$done" 2>/dev/null || [[ -d $done ]]
)

# choose_toolchain: sets route, compiler, cargo, sysroot, key and rust_sources, and the environment
# in which $cargo compiles for $target.
choose_toolchain() {
  local name why
  # What the caller's shell or cargo has set for other builds must not reach this one.
  for name in $(compgen -e); do
    case $name in
    RUSTFLAGS | RUSTC* | RUSTDOC* | CARGO | CARGO_BUILD_* | CARGO_ENCODED_* | CARGO_MANIFEST_* | \
      CARGO_PKG_* | CARGO_PROFILE_* | CARGO_TARGET_* | SOURCE_DATE_EPOCH) unset "$name" ;;
    esac
  done

  case ${CONGRESS_GUEST_TOOLCHAIN:-auto} in
  rustup)
    why="CONGRESS_GUEST_TOOLCHAIN says so"
    target_installed || add_target || die "rustup could not add the target $target" "${both_routes[@]}"
    route=rustup
    ;;
  debian)
    why="CONGRESS_GUEST_TOOLCHAIN says so"
    route=debian
    ;;
  auto)
    if target_installed; then
      route=rustup why="its target $target is installed"
    elif add_target; then
      route=rustup why="it could add the target $target"
    elif debian_usable; then
      route=debian why="rustup has no target $target and could not add it"
    else
      die "no compiler for $target" "${both_routes[@]}"
    fi
    ;;
  *) die "CONGRESS_GUEST_TOOLCHAIN is '$CONGRESS_GUEST_TOOLCHAIN'; it can be rustup, debian or auto" ;;
  esac

  "use_$route"
  say "toolchain: $route ($("$compiler" --version)), because $why"
}

# name_sources FROM=TO…: panic messages hold source paths; these get the same names for every
# checkout and user. (The encoded form of the flags is for folders with spaces in their names.)
name_sources() {
  local cargo_home=${CARGO_HOME:-$HOME/.cargo} flags
  printf -v flags '%s\x1f%s' "--remap-path-prefix=$rust_sources=/rust" \
    "--remap-path-prefix=$cargo_home=/cargo"
  local pair
  for pair in "$@"; do
    printf -v flags '%s\x1f%s' "$flags" "--remap-path-prefix=$pair"
  done
  export CARGO_ENCODED_RUSTFLAGS=$flags
}

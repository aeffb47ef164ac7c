# Debian packages that a script needs; sourced by the scripts beside this folder.
# shellcheck shell=bash

# What the scripts compile they compile once: what incremental compilation writes would be half of
# the disk that this takes (CARGO_INCREMENTAL=1 keeps it, for who builds in a checkout all day).
export CARGO_INCREMENTAL=${CARGO_INCREMENTAL:-0}

# Installs packages without starting the services they bring: whoever builds or tests here has
# not asked for daemons. An existing policy-rc.d stays as it is; ours goes again.
install_packages() {
  local policy=/usr/sbin/policy-rc.d ours=no status=0
  if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    ours=yes
  fi
  { apt-get update -q && DEBIAN_FRONTEND=noninteractive \
    apt-get install -q -y --no-install-recommends "$@"; } >&2 || status=$?
  [[ $ours == no ]] || rm -f "$policy"
  return "$status"
}

# ensure COMMAND PACKAGE…: makes sure that a command works, by installing packages if it does not.
# COMMAND is one word, or several that must succeed together.
ensure() {
  local check=$1
  shift
  bash -c "$check" >/dev/null 2>&1 && return 0
  if [[ $EUID -eq 0 ]] && command -v apt-get >/dev/null; then
    printf '%s: installing %s\n' "${0##*/}" "$*" >&2
    install_packages "$@" && bash -c "$check" >/dev/null 2>&1 && return 0
  fi
  printf '%s: error: "%s" does not work here\n  Install it as root, then run this again:\n' \
    "${0##*/}" "$check" >&2
  printf '    apt-get install --no-install-recommends %s\n' "$*" >&2
  return 1
}

# The compiler that everything else is built with.
ensure_rust() {
  local wanted=1.95 found
  found=$(cargo --version 2>/dev/null | cut -d' ' -f2)
  [[ $(printf '%s\n' "$wanted" "${found:-0}" | sort -V | head -n 1) == "$wanted" ]] && return 0
  printf '%s: error: the cargo in PATH is %s\n  Install Rust %s or later: https://rustup.rs\n' \
    "${0##*/}" "${found:-missing}" "$wanted" >&2
  return 1
}

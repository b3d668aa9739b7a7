# What the scripts share: messages, the cache folder, locks. Sourced by bash, never run.

# The name that messages carry: the script that sourced this file.
me=${me:-$(basename -- "$0")}

# say TEXT...: a progress line on stderr, unless quiet=1.
say() { [ "${quiet:-0}" = 1 ] || printf '%s: %s\n' "$me" "$*" >&2; }

# complain TEXT...: what went wrong, also when quiet.
complain() { printf '%s: %s\n' "$me" "$*" >&2; }

# fail TEXT [HINT...]: what failed and why; then what to do, a line each. Ends the script with failure_code (1).
fail() {
  printf '%s: error: %s\n' "$me" "$1" >&2
  shift
  local hint
  for hint; do printf '%s:   %s\n' "$me" "$hint" >&2; done
  exit "${failure_code:-1}"
}

# The folder that holds everything that can be made again.
cache_folder() {
  if [ -n "${XDG_CACHE_HOME:-}" ] && [ "${XDG_CACHE_HOME#/}" != "$XDG_CACHE_HOME" ]; then
    printf '%s/vmrun\n' "$XDG_CACHE_HOME"
  elif [ -n "${HOME:-}" ] && [ "${HOME#/}" != "$HOME" ]; then
    printf '%s/.cache/vmrun\n' "$HOME"
  else
    fail "no cache folder: neither XDG_CACHE_HOME nor HOME is an absolute path" "type: export HOME=/root (or your own home)"
  fi
}

# make_folder PATH: mkdir -p with a message that helps.
make_folder() {
  mkdir -p -- "$1" 2>/dev/null || fail "cannot create the folder $1" \
    "check the rights and the space there, or choose another place: export XDG_CACHE_HOME=/some/folder"
}

# need COMMAND PACKAGE: the command is there, or a message that names the package.
need() {
  command -v "$1" >/dev/null 2>&1 || fail "the command '$1' is missing (Debian package $2)" \
    "type: Scripts/setup --lab"
}

# Little-endian numbers out of a file: le32 FILE OFFSET, le16, le8.
le32() { od -An -v -tu4 -N4 -j "$2" -- "$1" | tr -d ' \n'; }
le16() { od -An -v -tu2 -N2 -j "$2" -- "$1" | tr -d ' \n'; }
le8() { od -An -v -tu1 -N1 -j "$2" -- "$1" | tr -d ' \n'; }

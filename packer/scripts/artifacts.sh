# Sourced by the provisioning scripts: files that come from outside Debian, each checked against a known SHA-256.
#
# They come from ARTIFACTS_DIR, a folder of files with a SHA256SUMS, where it is set; else from the addresses in
# packer/artifacts.lock. Nothing is used that neither of the two vouches for.
# shellcheck shell=bash

. "$(dirname "${BASH_SOURCE[0]}")/versions.sh"

downloads=${TMPDIR:-/tmp}/windlass-downloads

# locked NAME VERSION ARCHITECTURE FIELD: a field of the artifact's line in the lock; empty where there is none.
locked() {
  awk -v name="$1" -v version="$2" -v architecture="$3" -v field="$4" \
    '$1 == name && $2 == version && $3 == architecture { print $field }' "$payload/packer/artifacts.lock"
}

refuse_unlocked() {
  die "$1 $2 for $3 is not in packer/artifacts.lock, so that nobody can say whether a download is the right one" \
    "run: packer/lock"
}

# artifact NAME VERSION: the path of the checked file.
artifact() {
  if [ -n "${ARTIFACTS_DIR:-}" ]; then
    given_artifact "$1"
  else
    downloaded_artifact "$1" "$2"
  fi
}

given_artifact() {
  local sum
  sum=$(awk -v name="$1" '$2 == name { print $1 }' "$ARTIFACTS_DIR/SHA256SUMS")
  [ -n "$sum" ] || die "$ARTIFACTS_DIR/SHA256SUMS doesn't list $1"
  check_digest "$ARTIFACTS_DIR/$1" "$sum"
  echo "$ARTIFACTS_DIR/$1"
}

downloaded_artifact() {
  local name=$1 version=$2 sum url file=$downloads/$1-$2
  sum=$(locked "$name" "$version" "$architecture" 4)
  url=$(locked "$name" "$version" "$architecture" 5)
  [ -n "$sum" ] || refuse_unlocked "$name" "$version" "$architecture"
  mkdir -p "$downloads"
  say "downloading $url"
  curl --silent --show-error --fail --location --retry 5 --connect-timeout 20 --output "$file" "$url" ||
    die "$url can't be downloaded"
  # Kept, a file with another digest could be taken for the right one by somebody.
  (check_digest "$file" "$sum") || { rm -f "$file"; exit 1; }
  echo "$file"
}

check_digest() {
  echo "$2  $1" | sha256sum --check --status ||
    die "$1 has the SHA-256 $(sha256sum < "$1" | cut -d' ' -f1), not $2" "don't use it; find out where it came from"
}

#!/usr/bin/env bash
# Container images, so that a booting machine downloads none: given as archives, or pulled by the digest in the lock.
# Pinned, so that the kubelet's garbage collection never takes them.
set -euo pipefail
. "$(dirname "$0")/artifacts.sh"
. "$(dirname "$0")/containerd.sh"

# A pull by digest is what makes the tag trustworthy.
pull() {
  local name=$1 reference=$2 digest
  digest=$(locked "image/$name" "${reference##*:}" any 4)
  [ -n "$digest" ] || refuse_unlocked "image/$name" "${reference##*:}" any
  images pull --platform "linux/$architecture" "${reference%:*}@sha256:$digest" > /dev/null
  images tag "${reference%:*}@sha256:$digest" "$reference" > /dev/null
  images rm "${reference%:*}@sha256:$digest" > /dev/null
}

bake() {
  local name=$1 reference=$2
  if [ -n "${ARTIFACTS_DIR:-}" ]; then
    images import --platform "linux/$architecture" "$(artifact "$name.tar")" > /dev/null
  else
    pull "$name" "$reference"
  fi
  images ls --quiet "name==$reference" | grep -qxF "$reference" || die "the image of $name is not $reference"
  images label "$reference" io.cri-containerd.pinned=pinned > /dev/null
}

references=$(image_references)
start_containerd
while read -r name reference; do
  bake "$name" "$reference" < /dev/null
done <<< "$references"

#!/usr/bin/env bash
# Before anything is downloaded: whether a digest is known for everything that will be. All that is missing is named.
set -euo pipefail
. "$(dirname "$0")/artifacts.sh"

# A line `name version architecture` for every artifact, as the scripts after this one ask for it.
wanted() {
  echo "kubelet $(versions .kubernetes) $architecture"
  echo "kubectl $(versions .kubernetes) $architecture"
  echo "cni-plugins $(versions .cni) $architecture"
  echo "ecr-credential-provider $(versions .credentialProvider) $architecture"
  if [ "${CONTAINERD_SOURCE:-upstream}" = upstream ]; then
    echo "containerd $(versions .containerd) $architecture"
    echo "runc $(versions .runc) $architecture"
  fi
  image_references | while read -r name reference; do echo "image/$name ${reference##*:} any"; done
}

list=$(wanted)
missing=0
while read -r name version for; do
  if [ -z "${ARTIFACTS_DIR:-}" ] && [ -z "$(locked "$name" "$version" "$for" 4)" ]; then
    say "error: $name $version for $for is not in packer/artifacts.lock"
    missing=$((missing + 1))
  fi
done <<< "$list"
[ "$missing" = 0 ] || die "$missing artifacts have no known digest, so that nobody can say whether a download is the right one" \
  "run: packer/lock"

# Sourced by the provisioning scripts: which versions of what the image holds, its container images and those of add-ons.
#
# KUBERNETES_VERSION, where it is set, goes before the one in manifests/versions.json.
# shellcheck shell=bash disable=SC2034 # the variables are for those that source this

payload=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
architecture=$(dpkg --print-architecture)
debian=$(. /etc/os-release && echo "$VERSION_ID")
release_file=/etc/windlass/release.json

say() { echo "image: $*" >&2; }
die() { say "error: $1"; [ -z "${2:-}" ] || say "hint: $2"; exit 1; }

# versions FILTER: what jq's FILTER gives for the list of versions.
versions() {
  jq --raw-output --exit-status --arg kubernetes "${KUBERNETES_VERSION:-}" \
    "(if \$kubernetes != \"\" then .kubernetes = \$kubernetes else . end) | $1" "$payload/manifests/versions.json" ||
    die "manifests/versions.json has nothing for $1"
}

# image_references: a line `name reference` for every container image that the image holds.
# TEST_IMAGES=yes adds those that only the local cloud needs.
image_references() {
  jq --raw-output '.images | to_entries[] | "\(.key) \(.value)"' "$payload"/manifests/addons/*/addon.json ||
    die "manifests/addons has an add-on without images"
  local images=.images
  [ "${TEST_IMAGES:-no}" = no ] || images='(.images + .testImages)'
  versions ". as \$versions | $images | to_entries[]
    | \"\\(.key) \\(.value | gsub(\"\\\\{(?<name>[a-z]+)\\\\}\"; \$versions[.name]))\""
}

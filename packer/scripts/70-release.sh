#!/usr/bin/env bash
# What this image holds, for the agent, which refuses to boot what the specification doesn't mean, and for people.
set -euo pipefail
. "$(dirname "$0")/versions.sh"

binaries() {
  local file
  for file in /usr/local/bin/kubelet /usr/local/bin/kubectl /usr/local/bin/windlass-bootstrap \
    "$(command -v containerd)" "$(command -v containerd-shim-runc-v2)" "$(command -v ctr)" "$(command -v runc)" /opt/cni/bin/* \
    /usr/local/lib/windlass/credential-providers/*; do
    [ ! -x "$file" ] || [ -d "$file" ] || sha256sum "$file"
  done | jq --raw-input --slurp 'split("\n") | map(select(. != "") | split("  ") | { (.[1]): .[0] }) | add'
}

image_map() {
  image_references | jq --raw-input --slurp 'split("\n") | map(select(. != "") | split(" ") | { (.[0]): .[1] }) | add'
}

# The last word of the first line, as `windlass-bootstrap 0.1.0`.
agent_version() {
  /usr/local/bin/windlass-bootstrap --version | awk 'NR == 1 { print $NF }'
}

agent=$(agent_version)
[ -n "$agent" ] || die "windlass-bootstrap --version says nothing"
[ -z "${AGENT_VERSION:-}" ] || [ "$AGENT_VERSION" = "$agent" ] ||
  die "windlass-bootstrap is $agent, and this image is to be of $AGENT_VERSION" "build the agent again: cargo build --profile dist"
jq --null-input \
  --arg kubernetesVersion "$(versions .kubernetes)" \
  --arg etcdVersion "$(versions .etcd)" \
  --arg containerdVersion "$(containerd --version | awk '{ print $3 }' | sed -E 's/^v//; s/~.*//')" \
  --arg runcVersion "$(runc --version | awk 'NR == 1 { print $3 }' | sed -E 's/\+.*//')" \
  --arg cniVersion "$(versions .cni)" \
  --arg credentialProviderVersion "$(versions .credentialProvider)" \
  --arg agentVersion "$agent" \
  --arg debian "$debian" \
  --arg architecture "$architecture" \
  --argjson images "$(image_map)" \
  --argjson binaries "$(binaries)" \
  '$ARGS.named' > "$release_file"

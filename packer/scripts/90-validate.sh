#!/usr/bin/env bash
# The image's own test, the last thing before the snapshot. Every finding is printed; one fails the build.
set -euo pipefail
. "$(dirname "$0")/versions.sh"
. "$(dirname "$0")/containerd.sh"

findings=0
finding() { say "finding: $*"; findings=$((findings + 1)); }

# absent WHAT PATH…: none of the paths exists.
absent() {
  local what=$1 path
  shift
  for path in "$@"; do
    [ ! -e "$path" ] || finding "$what: $path"
  done
}

check_identity() {
  absent "a host key" /etc/ssh/ssh_host_*
  absent "the key of who made the image" /root/.ssh/authorized_keys /home/*/.ssh/authorized_keys
  absent "what cloud-init knows of another instance" /var/lib/cloud/instance /var/lib/cloud/data/instance-id
  absent "the seed of somebody's random numbers" /var/lib/systemd/random-seed
  absent "a shell's history" /root/.*_history /home/*/.*_history
  if [ ! -f /etc/machine-id ] || [ -s /etc/machine-id ]; then finding "/etc/machine-id isn't there and empty"; fi
  # Not none: the machine goes on writing until its snapshot is taken.
  [ "$(du -sm /var/log | cut -f1)" -le 32 ] || finding "/var/log holds logs of the machine that made the image"
}

check_kubelet() {
  [ "$(systemctl is-enabled kubelet.service 2> /dev/null)" != enabled ] || finding "the kubelet is enabled"
  [ "$(systemctl is-enabled windlass-bootstrap.service 2> /dev/null)" != enabled ] || finding "the agent is enabled: rc.local starts it"
  absent "a kubelet ran here" /var/lib/kubelet/*
  absent "a static pod" /etc/kubernetes/manifests/*
  absent "a network configuration, which is the agent's to write" /etc/cni/net.d/*
}

check_boot() {
  [ -x /etc/rc.local ] || finding "/etc/rc.local isn't executable, and so doesn't run"
  [ "$(head -c 2 /etc/rc.local)" = '#!' ] || finding "/etc/rc.local has no interpreter"
  [ "$(systemctl is-enabled containerd.service 2> /dev/null)" = enabled ] || finding "containerd isn't enabled"
  grep -qE '^tmpfs /srv/kubernetes tmpfs [^ ]*mode=0700' /etc/fstab || finding "/srv/kubernetes isn't a tmpfs"
  ! grep -qE '^[^#].*[[:space:]]swap[[:space:]]' /etc/fstab || finding "swap, where secrets could end"
  local problems unit
  for unit in kubelet.service windlass-bootstrap.service; do
    problems=$(systemd-analyze verify "/etc/systemd/system/$unit" 2>&1 | grep -F "$unit" || true)
    [ -z "$problems" ] || finding "$problems"
  done
}

check_containerd() {
  local config
  config=$(containerd config dump 2> /dev/null) || { finding "containerd refuses its configuration"; return; }
  grep -qE '^ *SystemdCgroup = true' <<< "$config" || finding "containerd doesn't leave cgroups to systemd"
  grep -qE "^ *bin_dirs? = .*/opt/cni/bin" <<< "$config" || finding "containerd looks for CNI plug-ins elsewhere"
  grep -qF "$(image_references | awk '$1 == "pause" { print $2 }')" <<< "$config" || finding "containerd's sandbox image is another"
}

check_versions() {
  local wanted
  wanted=v$(versions .kubernetes)
  said "$wanted" kubelet --version
  said "$wanted" kubectl version --client
  said "v$(versions .cni)" /opt/cni/bin/bridge --version
  check_credential_provider
}

# It tells no version. Asked nothing, it says that the kubelet's question is missing, and asks nobody.
check_credential_provider() {
  local provider=/usr/local/lib/windlass/credential-providers/ecr-credential-provider answer
  answer=$("$provider" get-credentials < /dev/null 2>&1 || true)
  grep -qF version/kind <<< "$answer" || finding "$provider doesn't speak with kubelets: $answer"
}

# said VERSION COMMAND…: what the command prints has the version in it, as a word of its own.
said() {
  local version=$1 output
  shift
  output=$("$@" 2>&1 || true)
  grep -qE "(^|[[:space:]])${version//./\\.}([[:space:]]|$)" <<< "$output" || finding "$1 isn't $version: $output"
}

check_release() {
  [ "$(jq -r '[.. | select(. == "")] | length' "$release_file")" = 0 ] || finding "$release_file has empty values"
  [ "$(jq -r .kubernetesVersion "$release_file")" = "$(versions .kubernetes)" ] || finding "$release_file is of another Kubernetes"
  [ "$(jq -r '.binaries | length' "$release_file")" -ge 10 ] || finding "$release_file lists too few binaries"
  jq -r '.binaries | to_entries[] | "\(.value)  \(.key)"' "$release_file" | sha256sum --check --quiet --strict >&2 ||
    finding "a binary isn't the one in $release_file"
  diff <(jq -r '.images | to_entries[] | "\(.key) \(.value)"' "$release_file" | sort) <(image_references | sort) >&2 ||
    finding "$release_file lists other images"
}

check_images() {
  local state reference
  start_containerd
  state=$(images check)
  for reference in $(jq -r '.images[]' "$release_file"); do
    grep -E "^$reference +.* complete .* true" <<< "$state" > /dev/null || finding "the image $reference isn't there, or not complete"
    images ls "name==$reference" | grep -qF 'io.cri-containerd.pinned=pinned' || finding "the image $reference isn't pinned"
  done
}

shopt -s nullglob
check_identity
check_kubelet
check_boot
check_containerd
check_versions
check_release
check_images
[ "$findings" = 0 ] || die "$findings findings: this image must not be used"
say "valid"

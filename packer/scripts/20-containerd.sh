#!/usr/bin/env bash
# containerd and runc: upstream's releases, or with CONTAINERD_SOURCE=debian those of Debian.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
. "$(dirname "$0")/artifacts.sh"

from_debian() {
  # Debian 12's containerd is 1.6, whose CRI no supported kubelet speaks to well.
  [ "$debian" -ge 13 ] || die "Debian $debian's containerd is too old for Kubernetes $(versions .kubernetes)" \
    "leave CONTAINERD_SOURCE unset to take upstream's release"
  if ! dpkg-query --show containerd runc > /dev/null 2>&1; then
    apt-get --yes install --no-install-recommends containerd runc
  fi
}

from_upstream() {
  tar --extract --gzip --directory /usr/local --no-same-owner --file "$(artifact containerd "$(versions .containerd)")"
  install -m 755 "$(artifact runc "$(versions .runc)")" /usr/local/sbin/runc
  install -m 644 "$payload/packer/files/containerd.service" /etc/systemd/system/containerd.service
}

configure() {
  local syntax sandbox
  case $(containerd --version | awk '{ print $3 }') in
    v1.* | 1.*) syntax=2 ;;
    v2.* | 2.*) syntax=3 ;;
    *) die "$(containerd --version) is neither containerd 1 nor 2" ;;
  esac
  sandbox=$(image_references | awk '$1 == "pause" { print $2 }')
  mkdir -p /etc/containerd/conf.d /etc/containerd/certs.d /etc/cni/net.d
  sed "s|@SANDBOX_IMAGE@|$sandbox|" "$payload/packer/files/containerd-$syntax.toml" > /etc/containerd/config.toml
  containerd config dump > /dev/null || die "containerd refuses /etc/containerd/config.toml"
}

case ${CONTAINERD_SOURCE:-upstream} in
  upstream) from_upstream ;;
  debian) from_debian ;;
  *) die "CONTAINERD_SOURCE is $CONTAINERD_SOURCE, and should be upstream or debian" ;;
esac
configure
systemctl enable containerd.service

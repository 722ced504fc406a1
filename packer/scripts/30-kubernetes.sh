#!/usr/bin/env bash
# kubelet, kubectl, the CNI plug-ins, and the program that gets credentials for ECR. Nothing is started: a kubelet that has run leaves an identity behind.
set -euo pipefail
. "$(dirname "$0")/artifacts.sh"

kubernetes=$(versions .kubernetes)
for name in kubelet kubectl; do
  install -m 755 "$(artifact "$name" "$kubernetes")" "/usr/local/bin/$name"
done
mkdir -p /opt/cni/bin /etc/kubernetes/manifests /etc/kubernetes/kubelet.conf.d
install -D -m 755 "$(artifact ecr-credential-provider "$(versions .credentialProvider)")" \
  /usr/local/lib/windlass/credential-providers/ecr-credential-provider
tar --extract --gzip --directory /opt/cni/bin --no-same-owner --file "$(artifact cni-plugins "$(versions .cni)")"

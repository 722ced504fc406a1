# Sourced by the provisioning scripts: a containerd that serves the image's own store while it is made.
# shellcheck shell=bash

socket=/run/windlass-containerd.sock

# start_containerd: without the CRI plug-in, which would want a network and cgroups. It ends with the script.
start_containerd() {
  local config=/run/windlass-containerd.toml
  # Debian starts it when the package is installed; two can't share a store.
  [ ! -d /run/systemd/system ] || systemctl stop containerd.service
  cat > "$config" <<TOML
version = 2
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime"]
[grpc]
  address = "$socket"
TOML
  containerd --config "$config" > /run/windlass-containerd.log 2>&1 &
  containerd_process=$!
  trap stop_containerd EXIT
  for _ in $(seq 300); do
    ! images ls --quiet > /dev/null 2>&1 || return 0
    kill -0 "$containerd_process" 2> /dev/null || break
    sleep 0.1
  done
  die "containerd doesn't start: $(tail -n 3 /run/windlass-containerd.log)"
}

stop_containerd() {
  kill "$containerd_process" 2> /dev/null || true
  wait "$containerd_process" 2> /dev/null || true
}

# images …: ctr images … in the namespace that the kubelet sees.
images() {
  ctr --address "$socket" --namespace k8s.io images "$@"
}

#!/usr/bin/env bash
# The boot agent, what starts it, and the kubelet's unit, which only the agent starts.
set -euo pipefail
. "$(dirname "$0")/versions.sh"

install -m 755 "${AGENT_BINARY:-$payload/windlass-bootstrap}" /usr/local/bin/windlass-bootstrap
install -m 755 "$payload/bootstrap/rc.local" /etc/rc.local
cp --recursive --no-preserve=ownership,timestamps "$payload/bootstrap/systemd/." /etc/systemd/system/
mkdir -p /etc/windlass
systemctl disable kubelet.service windlass-bootstrap.service 2> /dev/null || true

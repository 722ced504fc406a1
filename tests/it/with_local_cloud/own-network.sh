#!/bin/sh
# Configures one machine's network, as a plug-in's installer would, from what flannel says of the machine. Fails while
# flannel hasn't said it yet.
set -eu
. /run/flannel/subnet.env
subnet=$(echo "$FLANNEL_SUBNET" | sed 's|\.1/|.0/|')
cat >/etc/cni/net.d/.own <<EOF
{
  "cniVersion": "1.0.0",
  "name": "own",
  "plugins": [
    {
      "type": "bridge",
      "bridge": "own0",
      "mtu": $FLANNEL_MTU,
      "isDefaultGateway": true,
      "hairpinMode": true,
      "ipam": {"type": "host-local", "ranges": [[{"subnet": "$subnet"}]]}
    },
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}
EOF
mv /etc/cni/net.d/.own /etc/cni/net.d/10-own.conflist

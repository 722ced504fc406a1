#!/usr/bin/env bash
# Takes away what belongs to the machine that made the image: keys, identities, logs, caches.
set -euo pipefail

rm -f /etc/ssh/ssh_host_* /etc/hostname /var/lib/systemd/random-seed /var/lib/systemd/credential.secret
rm -f /root/.ssh/authorized_keys /home/*/.ssh/authorized_keys /root/.*_history /home/*/.*_history
rm -rf /var/lib/cloud/instance /var/lib/cloud/instances /var/lib/cloud/data /var/lib/cloud/sem
# There and empty: systemd writes a new one at the first boot, and takes a missing one for a broken image.
rm -f /var/lib/dbus/machine-id
: > /etc/machine-id
# A link is systemd-resolved's; a file holds the resolver of the machine that made the image.
if [ -f /etc/resolv.conf ] && [ ! -L /etc/resolv.conf ]; then : > /etc/resolv.conf; fi

# What systemd would do at every machine's first boot, because the image is newer than what it left behind.
ldconfig
journalctl --update-catalog
for folder in /etc /var; do touch --reference /usr "$folder/.updated"; done

apt-get clean
rm -rf /var/lib/apt/lists/* /var/cache/debconf/*-old /var/cache/apt/*.bin
if [ -d /run/systemd/system ]; then journalctl --quiet --rotate --vacuum-time=1s; fi
rm -rf /var/log/journal/* /var/log/apt /var/log/*.gz /var/log/*.[0-9]
find /var/log -type f -exec truncate --size 0 {} +
rm -rf /var/tmp/* "${TMPDIR:-/tmp}/windlass-downloads" /run/windlass-containerd.*
find / -xdev -maxdepth 2 \( -name core -o -name 'core.[0-9]*' \) -type f -delete
if [ -d /run/systemd/system ]; then fstrim --all --quiet-unsupported || true; fi

#!/usr/bin/env bash
# The machine below Kubernetes: packages, kernel modules and settings, the tmpfs for secrets, and nothing that
# changes the machine by itself.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
payload=$(cd "$(dirname "$0")/../.." && pwd)

install_packages() {
  local wanted missing=() package
  mapfile -t wanted < <(sed '/^#/d; /^$/d' "$payload/packer/packages")
  for package in "${wanted[@]}"; do
    dpkg-query --show --showformat='${db:Status-Abbrev}' "$package" 2> /dev/null | grep -q '^ii' || missing+=("$package")
  done
  # Debian's published images keep time with chrony, and only one may do it.
  if dpkg-query --show chrony > /dev/null 2>&1; then
    missing=("${missing[@]/systemd-timesyncd/}")
  fi
  if [ "${UPGRADE:-yes}" = yes ]; then
    apt-get update
    apt-get --yes -o DPkg::Lock::Timeout=600 dist-upgrade
  fi
  # shellcheck disable=SC2068 # the package taken out above has left an empty word
  [ -z "${missing[*]}" ] || apt-get --yes -o DPkg::Lock::Timeout=600 install --no-install-recommends ${missing[@]}
}

# Secrets live here and nowhere else. Without `noswap` (Linux 6.4) only a machine without swap keeps them off a disk.
mount_secrets_in_memory() {
  local options=size=16m,mode=0700,nosuid,nodev,noexec probe
  probe=$(mktemp --directory)
  if mount -t tmpfs -o "$options,noswap" tmpfs "$probe" 2> /dev/null; then
    umount "$probe"
    options=$options,noswap
  fi
  rmdir "$probe"
  mkdir -p /srv/kubernetes
  touch /etc/fstab
  sed -i -e '\#[[:space:]]/srv/kubernetes[[:space:]]#d' -e '/^[^#].*[[:space:]]swap[[:space:]]/d' /etc/fstab
  echo "tmpfs /srv/kubernetes tmpfs $options 0 0" >> /etc/fstab
}

# Masked, not only disabled: a unit that isn't installed today can't come back with a package tomorrow.
mask_what_changes_the_machine() {
  systemctl mask apt-daily.timer apt-daily.service apt-daily-upgrade.timer apt-daily-upgrade.service \
    unattended-upgrades.service man-db.timer e2scrub_all.timer e2scrub_reap.service dpkg-db-backup.timer
  if [ -d /run/systemd/system ]; then
    systemctl stop apt-daily.timer apt-daily-upgrade.timer
  fi
}

mask_what_changes_the_machine
install_packages
cp --recursive --no-preserve=ownership,timestamps "$payload/packer/rootfs/." /
mount_secrets_in_memory
if command -v update-grub > /dev/null; then update-grub; fi

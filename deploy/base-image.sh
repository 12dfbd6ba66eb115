#!/usr/bin/env bash
# Makes the base that both Dockerfiles name, where no registry can be reached: Debian by debootstrap.
# usage: deploy/base-image.sh [IMAGE]      (root; REFRESH=1 makes it anew, for Debian's latest fixes)
# It does nothing while IMAGE carries the hash of this file. The mirrors are those of this
# machine's apt, where it runs the same Debian; debootstrap's own default where not.
set -euo pipefail

image=${1:-orchestrator-base:local}
suite=bookworm
packages=ca-certificates,git,openssh-client,python3,tini
content=$(sha256sum "$0" | cut -c1-16)

made=$(docker image inspect --format '{{index .Config.Labels "orchestrator.content"}}' "$image" 2>/dev/null || true)
if [[ $made == "$content" && -z ${REFRESH:-} ]]; then
  echo "$image is up to date"
  exit 0
fi

mirror() { apt-get indextargets --format '$(REPO_URI)' "Codename: $1" 2>/dev/null | sort -u | head -n 1; }
main=$(mirror "$suite")
security=$(mirror "$suite-security")

root=$(mktemp -d)
chmod 755 "$root"
trap 'rm -rf --one-file-system "$root"' EXIT
inside() { DEBIAN_FRONTEND=noninteractive LC_ALL=C chroot "$root" "$@"; }

debootstrap --variant=minbase --include="$packages" "$suite" "$root" ${main:+"$main"} >"$root.log" 2>&1 ||
  { tail -n 20 "$root.log" >&2; exit 1; }
rm -f "$root.log"

if [[ -n $security ]]; then
  echo "deb $security $suite-security main" >>"$root/etc/apt/sources.list"
  # The names of the mirrors are this machine's to resolve, while it is made.
  cp /etc/resolv.conf "$root/etc/resolv.conf"
  inside apt-get update -qq
  inside apt-get -qq -y -o Dpkg::Options::=--force-unsafe-io dist-upgrade >/dev/null 2>&1
fi

# Nobody reads manuals in a container; the licences stay.
find "$root/usr/share/doc" ! -name copyright ! -type d -delete
find "$root/usr/share/doc" -type d -empty -delete
rm -rf "$root"/usr/share/{man,info,locale,lintian,bash-completion,gitweb,zoneinfo/right} \
  "$root"/var/lib/apt/lists/* "$root"/var/cache/{apt,debconf,ldconfig}/* "$root"/var/log/* \
  "$root"/etc/{resolv.conf,machine-id} "$root"/tmp/*
find "$root/usr" -name __pycache__ -type d -prune -exec rm -rf {} +
# What is installed later leaves them out too.
cat >"$root/etc/dpkg/dpkg.cfg.d/trimmed" <<'CFG'
path-exclude=/usr/share/doc/*
path-include=/usr/share/doc/*/copyright
path-exclude=/usr/share/man/*
path-exclude=/usr/share/info/*
path-exclude=/usr/share/locale/*
CFG

tar -C "$root" --numeric-owner --exclude='./dev/*' --exclude='./proc/*' --exclude='./sys/*' -c . |
  docker import --change "LABEL orchestrator.content=$content" --change 'ENV LANG=C.UTF-8' \
    --message "Debian $suite: $packages" - "$image" >/dev/null
echo "made $image"

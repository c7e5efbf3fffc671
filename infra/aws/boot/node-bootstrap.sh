#!/bin/bash
# Brings what this node runs, at every boot and once a day: the artifact under its sha256, and the certificate. Where a
# step fails, what was there before goes on, and systemd tries again.
set -euo pipefail
# shellcheck source=/dev/null
. /etc/flannel/bootstrap.env
lib=/usr/local/lib/flannel
tls=/etc/flannel/tls
failed=0
mkdir -p "$tls"

attempt() {
  "$@" && return
  echo "failed, will be tried again: $*" >&2
  failed=1
}

install() {
  "$lib/stage" && "$lib/activate"
}

state() {
  readlink /opt/flannel/current || true
  sha256sum "$tls"/* 2>/dev/null || true
}

before=$(state)
if [ -n "${PARAMETER_SOURCE_DEST_CHECK:-}" ]; then attempt "$lib/source-check"; fi
attempt install
attempt "$lib/parameter" "$PARAMETER_CA" "$tls/ca.crt" root 0644
attempt "$lib/parameter" "$PARAMETER_CERTIFICATE" "$tls/client.crt" root 0644
attempt "$lib/parameter" "$PARAMETER_KEY" "$tls/client.key" flannel 0400

mkdir -p /opt/cni/bin
ln -sfn /opt/flannel/current/cni/flannel /opt/cni/bin/flannel

# flanneld waits until this here has ended, so this must not wait for flanneld.
if [ "$before" != "$(state)" ]; then systemctl --no-block try-restart flanneld.service; fi
if systemctl --quiet is-enabled flanneld.service; then systemctl --no-block start flanneld.service; fi
exit "$failed"

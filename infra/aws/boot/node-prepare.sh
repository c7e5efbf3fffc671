#!/bin/bash
# What flanneld needs of the distribution. Amazon Linux comes without nftables, and fetches it from its mirror in S3.
set -euo pipefail
modprobe --quiet tun || true
command -v nft >/dev/null && exit 0
if command -v dnf >/dev/null; then dnf --assumeyes --quiet install nftables; fi
if command -v apt-get >/dev/null; then apt-get --assume-yes --quiet update && apt-get --assume-yes --quiet install nftables; fi
command -v nft >/dev/null

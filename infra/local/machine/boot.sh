#!/bin/sh
# Starts a machine that kubelet can live on: beside its network it has mounts, processes and a name of its own. Its programs are
# this host's; what it writes to its file system is gone with it, but for the directories below and those of its stack. Runs
# itself a second time inside, as pid 1. What it mounts and starts ends with that.
#   boot.sh NETNS NAME STATE STACK COMMAND...
# NETNS    path of the network namespace
# NAME     of the machine
# STATE    directory of the machine: what is below /etc/cni and the like there
# STACK    directory of the stack, which is the same inside and outside
# COMMAND  keeps the services; started again when it ends. SIGHUP is passed to it
set -eu

if [ "${inside:-}" != yes ]; then
  netns=$1
  shift
  inside=yes exec nsenter --net="$netns" \
    unshare --pid --mount --uts --ipc --fork --kill-child --propagation private sh "$0" "$@"
fi

name=$1 state=$2 stack=$3
shift 3
hostname "$name"

# A directory in memory takes what is written where nothing below is mounted.
memory=$state/run/root
mkdir -p "$memory"
mount -t tmpfs tmpfs "$memory" -o mode=755
mkdir "$memory/upper" "$memory/work" "$memory/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$memory/upper,workdir=$memory/work" "$memory/root"
cd "$memory/root"

mount -t proc proc proc -o nosuid,nodev,noexec
# kubelet sets these, or does not start. The kernel is the host's: it finds them as it wants them, and changes nothing.
while read -r key value; do
  if [ -e "proc/sys/$key" ]; then
    mkdir -p "$memory/sysctl/${key%/*}"
    echo "$value" >"$memory/sysctl/$key"
    mount --bind "$memory/sysctl/$key" "proc/sys/$key"
  fi
done <<'SETTINGS'
vm/overcommit_memory 1
vm/panic_on_oom 0
kernel/panic 10
kernel/panic_on_oops 1
kernel/keys/root_maxkeys 1000000
kernel/keys/root_maxbytes 25000000
SETTINGS
mount --rbind /sys sys
mount --rbind /dev dev
mount -t tmpfs tmpfs run -o mode=755,nosuid,nodev
mkdir run/lock run/netns
for directory in etc/cni opt/cni run/flannel var/lib/cni var/lib/containerd var/lib/kubelet var/log/containers var/log/pods; do
  mkdir -p "$state/$directory" "$directory"
  mount --bind "$state/$directory" "$directory"
done
mkdir -p ".$stack"
mount --bind "$stack" ".$stack"

mkdir .old
pivot_root . .old
umount --lazy /.old
rmdir /.old
mount --make-rshared / # kubelet hands mounts on to containers
cd /

# As pid 1: whoever has lost its parent is reaped by wait.
end() {
  trap '' TERM
  kill -TERM "$child" || true
  wait "$child" || true
  exit 0
}
child=
trap end TERM
trap 'kill -HUP "$child" || true' HUP
while :; do
  "$@" &
  child=$!
  while kill -0 "$child" 2>/dev/null; do wait "$child" || true; done
  sleep 0.5
done

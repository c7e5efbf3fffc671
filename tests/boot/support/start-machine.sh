#!/bin/sh
# Starts a machine: a root file system of its own, booted by its own systemd in namespaces of its own. What it mounts is gone
# with its mount namespace. Runs itself a second time inside, as pid 1.
#   start-machine.sh CGROUP NETNS IMAGE STATE [NAME:MAJOR:MINOR]...
# CGROUP  an empty folder of the cgroup2 hierarchy
# NETNS   path of the network namespace
# IMAGE   the root file system, which stays as it is
# STATE   a directory with disk/, work/ and root/: what the machine writes, and where it is mounted
# the rest: block devices the machine has below /dev
set -eu

if [ "${inside:-}" != yes ]; then
  echo $$ >"$1/cgroup.procs"
  shift
  netns=$1
  shift
  inside=yes exec nsenter --net="$netns" \
    unshare --pid --mount --uts --ipc --cgroup --fork --kill-child --propagation private sh "$0" "$@"
fi

image=$1 state=$2
shift 2
root=$state/root
mount -t overlay overlay -o "lowerdir=$image,upperdir=$state/disk,workdir=$state/work" "$root"
cd "$root"
mount -t proc proc proc -o nosuid,nodev,noexec
# The kernel is the host's: only what belongs to the network namespace may be set.
mount --bind proc/sys proc/sys
mount --bind proc/sys/net proc/sys/net
mount -o remount,bind,ro proc/sys
mount -o remount,bind,rw proc/sys/net
# With what tells cloud-init that this is EC2, where it uses the metadata service's version 2: the firmware's words, which it
# does not ask for in a container, or the hypervisor's.
mount -t sysfs sysfs mnt -o ro,nosuid,nodev,noexec
mount -t tmpfs tmpfs sys -o mode=755,nosuid,nodev,noexec
for folder in mnt/*/; do
  mkdir -p "sys/${folder#mnt/}"
  mount --bind "$folder" "sys/${folder#mnt/}"
done
mkdir -p sys/hypervisor
echo ec2e1916-9099-7caf-fd21-012345abcdef >sys/hypervisor/uuid
umount mnt
mount -o remount,ro sys
mount -t cgroup2 cgroup2 sys/fs/cgroup -o nosuid,nodev,noexec
mount -t tmpfs tmpfs dev -o mode=755,nosuid
mkdir dev/net dev/pts dev/shm
# Its own nodes, not the host's bound here: what changes their owner or mode must not change the host's.
while read -r name major minor; do
  mknod -m 666 "dev/$name" c "$major" "$minor"
done <<'NODES'
null 1 3
console 1 3
zero 1 5
full 1 7
random 1 8
urandom 1 9
tty 5 0
net/tun 10 200
NODES
for device in "$@"; do
  name=${device%%:*} number=${device#*:}
  mknod -m 660 "dev/$name" b "${number%:*}" "${number#*:}"
done
ln -s /proc/self/fd dev/fd
ln -s /proc/self/fd/0 dev/stdin
ln -s /proc/self/fd/1 dev/stdout
ln -s /proc/self/fd/2 dev/stderr
ln -s pts/ptmx dev/ptmx
mount -t devpts devpts dev/pts -o newinstance,ptmxmode=0666,mode=620,gid=5
mount -t tmpfs tmpfs dev/shm -o mode=1777,nosuid,nodev
mount -t tmpfs tmpfs run -o mode=755,nosuid,nodev
mkdir -p .old
pivot_root . .old
umount --lazy /.old
rmdir /.old
mount --make-rshared / # as systemd does where it is not in a container
# The clock and the modules are the host's too.
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin \
  setpriv --bounding-set=-sys_time,-sys_module,-sys_rawio /sbin/init

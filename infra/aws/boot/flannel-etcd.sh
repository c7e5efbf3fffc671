#!/bin/bash
# The work around an etcd member, on its machine: flannel-etcd COMMAND
#   volume          mount the data volume; a blank one is formatted
#   bootstrap       fetch certificates, decide how to join, start etcd
#   wait [forming]  until this member is healthy, or waits for the others of a new cluster
#   settle          users, roles, flannel's network configuration
#   snapshot [any]  to S3, if this member leads; any: even if not
#   snapshots       list them
#   sweep           give back the leases of machines that are gone; if this member leads
#   restore KEY     a snapshot instead of this member's data; the same on all members, then start etcd on all
#   ctl ARGUMENT... etcdctl as the administrator
set -euo pipefail
# shellcheck source=/dev/null
. /etc/flannel/bootstrap.env
lib=/usr/local/lib/flannel
tls=/etc/etcd/tls
volume=/var/lib/etcd
data=$volume/data
initial=/run/flannel/etcd-initial.env
label=flannel-etcd

die() {
  echo "$*" >&2
  exit 1
}

# A member's address, then what etcdctl takes.
ctl_at() {
  /opt/etcd/current/etcdctl --cacert $tls/ca.crt --cert $tls/admin.crt --key $tls/admin.key \
    --dial-timeout 3s --command-timeout 10s --endpoints "https://$1:2379" "${@:2}"
}

ctl() {
  ctl_at "$ADDRESS" "$@"
}

other_addresses() {
  local member
  for member in $MEMBERS; do
    if [ "$member" != "$MEMBER=$ADDRESS" ]; then echo "${member#*=}"; fi
  done
}

find_device() {
  local serial=${VOLUME_ID/-/} name
  for _ in {1..60}; do
    for name in /sys/block/nvme*; do
      if [ -n "$serial" ] && grep -qs "^$serial" "$name/device/serial"; then echo "/dev/${name##*/}" && return; fi
    done
    for name in "$DATA_DEVICE" "${DATA_DEVICE/sd/xvd}"; do
      if [ -b "$name" ]; then readlink -f "$name" && return; fi
    done
    sleep 2
  done
  die "there is no data volume $VOLUME_ID at $DATA_DEVICE"
}

# blkid says 2 for what it cannot read, too: only a volume of zeros is blank.
is_blank() {
  ! blkid -p "$1" >/dev/null 2>&1 && cmp --quiet --bytes=4194304 "$1" /dev/zero
}

mount_volume() {
  if mountpoint --quiet $volume; then return; fi
  local device
  device=$(find_device)
  if is_blank "$device"; then
    if command -v mkfs.xfs >/dev/null; then mkfs.xfs -q -L $label "$device"; else mkfs.ext4 -q -L $label "$device"; fi
  fi
  [ "$(blkid -p -s LABEL -o value "$device" || true)" = $label ] ||
    die "$device is neither blank nor labelled $label: it is left alone, attach the right volume"
  mkdir -p $volume
  mount -o nodev,nosuid,noexec "$device" $volume
}

# Fails itself if S3 does not answer: "no" must be certain.
formed() {
  local answer
  answer=$("$lib/cloud" s3api list-objects-v2 --bucket "$SNAPSHOT_BUCKET" --prefix "$SNAPSHOT_PREFIX/formed" \
    --query 'Contents[].[Key]' --output text) || die "cannot ask S3 whether there was a cluster"
  [ "$answer" = "$SNAPSHOT_PREFIX/formed" ]
}

members_of_cluster() {
  local address
  for address in $(other_addresses); do
    if ctl_at "$address" --command-timeout 3s member list 2>/dev/null; then return; fi
  done
}

planned() {
  local member
  for member in $MEMBERS; do echo "${member%%=*}=https://${member#*=}:2380"; done
}

write_initial() {
  mkdir -p "${initial%/*}"
  {
    echo "ETCD_INITIAL_CLUSTER_STATE=$1"
    echo "ETCD_INITIAL_CLUSTER_TOKEN=$STACK"
    echo "ETCD_INITIAL_CLUSTER=$(sort -u | paste -sd,)"
    if [ "$(uname -m)" = aarch64 ]; then echo ETCD_UNSUPPORTED_ARCH=arm64; fi
  } >$initial
}

# A member that has lost its data joins as another one, or it would break promises that it does not know of.
join() {
  local self="https://$ADDRESS:2380" cluster id name peer clients
  if [ -d $data/member ]; then
    planned | write_initial existing
    return
  fi
  cluster=$(members_of_cluster)
  if [ -z "$cluster" ]; then
    if formed; then
      die "this member has no data, and no other answers: it waits for them, or for flannel-etcd restore"
    fi
    planned | write_initial new
    return
  fi
  IFS=, read -r id _ _ _ clients _ <<<"$(grep -F " $self," <<<"$cluster" || true)"
  if [ -n "${clients// /}" ]; then
    ctl_others member remove "$id"
    id=
  fi
  if [ -z "$id" ]; then ctl_others member add "$MEMBER" --peer-urls="$self"; fi
  while IFS=, read -r _ _ name peer _; do
    name=${name# } peer=${peer# }
    if [ -z "$name" ]; then name=$(planned | sed -n "s|=$peer\$||p"); fi # added, and not started yet
    if [ "$peer" != "$self" ]; then echo "$name=$peer"; fi
  done <<<"$cluster" | cat - <(echo "$MEMBER=$self") | write_initial existing
}

# Through whoever answers; a cluster that has just changed refuses for some seconds.
ctl_others() {
  local address
  for _ in {1..6}; do
    for address in $(other_addresses); do
      if ctl_at "$address" "$@" >&2; then return; fi
    done
    sleep 5
  done
  die "the other members refuse: $*"
}

bootstrap() {
  local failed=0 name
  mkdir -p $tls
  fetch() { "$lib/parameter" "$@" || failed=1; }
  fetch "$PARAMETER_CLIENT_CA" $tls/ca.crt root 0644
  fetch "$PARAMETER_PEER_CA" $tls/peer-ca.crt root 0644
  fetch "$PARAMETER_ADMIN" $tls/admin.crt root 0644
  fetch "$PARAMETER_ADMIN_KEY" $tls/admin.key root 0400
  fetch "$PARAMETER_SERVER" $tls/server.crt root 0644
  fetch "$PARAMETER_SERVER_KEY" $tls/server.key etcd 0400
  fetch "$PARAMETER_PEER" $tls/peer.crt root 0644
  fetch "$PARAMETER_PEER_KEY" $tls/peer.key etcd 0400
  for name in $tls/{admin,server,peer}.key; do
    [ -s "$name" ] || die "$name is missing"
  done
  if [ "$(readlink /opt/etcd/current)" != "$ARTIFACT" ]; then
    echo "artifact $ARTIFACT is not to be had, the one before goes on" >&2
    failed=1
  fi
  # Another machine may have given the same number to another user.
  chown -R etcd:etcd $volume
  if ! systemctl --quiet is-active etcd.service; then join; fi
  systemctl --no-block start etcd.service flannel-settle.service
  return $failed
}

is_healthy() {
  curl --fail --silent --max-time 5 http://127.0.0.1:2381/health | grep -q '"health":"true"'
}

wait_healthy() {
  local until=$((SECONDS + 600))
  until is_healthy; do
    if [ "${1:-}" = forming ] && grep -qs STATE=new $initial; then return; fi
    if ((SECONDS > until)); then die "$MEMBER is not healthy: see journalctl -u etcd -u flannel-bootstrap"; fi
    sleep 2
  done
}

settle() {
  wait_healthy
  if ! formed; then
    "$lib/cloud" s3api put-object --bucket "$SNAPSHOT_BUCKET" --key "$SNAPSHOT_PREFIX/formed" >/dev/null
  fi
  if [[ $MEMBERS == "$MEMBER="* ]]; then
    enable_auth
    put_network
  fi
}

# A client is the user that its certificate names. Nodes read the network, and write nothing but subnets.
enable_auth() {
  local name users roles
  users=$(ctl user list)
  roles=$(ctl role list)
  for name in root flanneld; do
    grep -qx $name <<<"$roles" || ctl role add $name
    grep -qx $name <<<"$users" || ctl user add $name --no-password
    ctl user grant-role $name $name
  done
  ctl role grant-permission flanneld --prefix=true read "$ETCD_PREFIX/"
  ctl role grant-permission flanneld --prefix=true readwrite "$ETCD_PREFIX/subnets"
  ctl auth enable
}

put_network() {
  local wanted current
  if [ -n "${PARAMETER_NETWORK:-}" ]; then
    wanted=$("$lib/cloud" ssm get-parameter --name "$PARAMETER_NETWORK" --query Parameter.Value --output text)
  else
    wanted=$(cat /etc/flannel/network.json)
  fi
  current=$(ctl get --print-value-only "$ETCD_PREFIX/config")
  if [ "$current" != "$wanted" ]; then printf %s "$wanted" | ctl put "$ETCD_PREFIX/config"; fi
  # Also when it was written before: by an attempt that nodes did not follow in time.
  await_nodes "$wanted"
}

# Running nodes follow another backend within a second or two. What the one before needs is closed when this has ended well, so it
# must not end before they have. A machine that is gone follows nothing.
await_nodes() {
  local type until=$((SECONDS + ${FOLLOW_SECONDS:-120})) leases left alive
  type=$(sed -n 's/.*"Backend": *{[^}]*"Type": *"\([^"]*\)".*/\1/p' <<<"$1")
  while :; do
    leases=$(ctl get --prefix --print-value-only "$ETCD_PREFIX/subnets/")
    left=$(of_other_backends "${type:-udp}" <<<"$leases" || true)
    if [ -z "$left" ]; then return; fi
    alive=$(nodes_alive)
    left=$(grep -Ff <(sed 's/.*"PublicIP":"\([0-9.]*\)".*/\1\t/' <<<"$left") <<<"$alive" || true)
    if [ -z "$left" ]; then return; fi
    if ((SECONDS >= until)); then die "nodes do not follow the backend $type, look at their flanneld: $(paste -sd' ' <<<"$left")"; fi
    sleep 1
  done
}

# The backend of a lease of udp has no name (flannel's, too).
of_other_backends() {
  if [ "$1" = udp ]; then grep '"BackendType":"[^"]'; else grep '[^[:space:]]' | grep -v "\"BackendType\":\"$1\""; fi
}

# Address and id of each machine that is a node of the stack.
nodes_alive() {
  "$lib/cloud" ec2 describe-instances --filters "Name=tag:flannel:stack,Values=$STACK" Name=tag:flannel:role,Values=node \
    Name=instance-state-name,Values=pending,running,shutting-down,stopping,stopped \
    --query 'Reservations[].Instances[].[PrivateIpAddress,InstanceId]' --output text
}

leads() {
  local status
  status=$(ctl endpoint status --write-out=json)
  [[ $status =~ \"member_id\":([0-9]+) ]] || return 1
  [[ $status == *"\"leader\":${BASH_REMATCH[1]},"* ]]
}

snapshot() {
  if [ "${1:-}" != any ] && ! leads; then return; fi
  local work
  work=$(mktemp -d -p /var/tmp)
  # shellcheck disable=SC2064
  trap "rm -rf '$work'" EXIT
  ctl --command-timeout 60s snapshot save "$work/db"
  "$lib/cloud" s3api put-object --bucket "$SNAPSHOT_BUCKET" --body "$work/db" \
    --key "$SNAPSHOT_PREFIX/snapshots/$(date -u +%Y-%m-%dT%H-%M-%SZ)-$MEMBER.db" >/dev/null
}

snapshots() {
  "$lib/cloud" s3api list-objects-v2 --bucket "$SNAPSHOT_BUCKET" --prefix "$SNAPSHOT_PREFIX/snapshots/" \
    --query 'Contents[].[Key]' --output text
}

# Only of machines that this member has seen as nodes of the stack: somebody may have added a node from elsewhere.
sweep() {
  local seen=$volume/nodes leases alive address id key revision
  # Before the machines: what comes in between is taken over by a new machine, and has another revision.
  leases=$(ctl get --prefix --write-out=fields "$ETCD_PREFIX/subnets/" | sed -n \
    -e 's/^"Key" : "\(.*\)"$/key \1/p' -e 's/^"ModRevision" : /revision /p' \
    -e 's/^"Value" : .*\\"PublicIP\\":\\"\([0-9.]*\)\\".*/address \1/p' |
    awk '$1 == "address" { print $2, key, revision } { if ($1 == "key") key = $2; if ($1 == "revision") revision = $2 }')
  alive=$(nodes_alive)
  touch $seen
  while read -r address id; do
    if grep -q "^$address[[:space:]]" <<<"$alive"; then continue; fi
    while read -r _ key revision; do
      if leads && printf 'mod("%s") = "%s"\n\ndel %s\n\n\n' "$key" "$revision" "$key" | ctl txn | grep -q SUCCESS; then
        echo "$id with $address is gone: gave back ${key##*/}"
      else
        alive+=$'\n'"$address $id" # the next sweep has to know
      fi
    done < <(grep "^$address " <<<"$leases")
  done < <(cat $seen)
  grep . <<<"$alive" | sort -u >$seen || true
}

restore() {
  local key=$1 tool=/opt/etcd/current/etcdutl now
  now=$(date -u +%Y-%m-%dT%H-%M-%SZ)
  if [ ! -x $tool ]; then tool=/opt/etcd/current/etcdctl; fi
  mountpoint --quiet $volume || die "$volume is not mounted"
  rm -rf $volume/restored
  "$lib/cloud" s3api get-object --bucket "$SNAPSHOT_BUCKET" --key "$key" $volume/snapshot.db >/dev/null
  $tool snapshot restore $volume/snapshot.db --data-dir $volume/restored --name "$MEMBER" \
    --initial-advertise-peer-urls "https://$ADDRESS:2380" --initial-cluster "$(planned | paste -sd,)" \
    --initial-cluster-token "$key"
  systemctl stop etcd.service
  if [ -e $data ]; then mv -T $data "$volume/before-$now"; fi
  mv -T $volume/restored $data
  rm $volume/snapshot.db
  chown -R etcd:etcd $volume
  planned | write_initial existing
  echo "restored $key; do the same on every other member, then run systemctl start etcd on all"
}

case ${1:-} in
  volume) mount_volume ;;
  bootstrap) bootstrap ;;
  wait) wait_healthy "${2:-}" ;;
  settle) settle ;;
  snapshot) snapshot "${2:-}" ;;
  snapshots) snapshots ;;
  sweep) sweep ;;
  restore) restore "${2:?the key of a snapshot}" ;;
  ctl) shift && ctl "$@" ;;
  *) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
esac

#!/bin/bash
# This node's part in the life of its group (EC2 Auto Scaling, "Lifecycle hooks"): lifecycle COMMAND
#   watch    tell the group when flanneld is ready, and when the node may go, its lease given back
#   stopped  flanneld has ended: give its lease back, if the node goes for good
set -euo pipefail
# shellcheck source=/dev/null
. /etc/flannel/bootstrap.env
lib=/usr/local/lib/flannel
metadata=http://169.254.169.254/latest
told=/etc/flannel/told-ready

# Not there on an instance that is in no group.
ask() {
  local token
  token=$(curl -fsS --max-time 5 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' $metadata/api/token) &&
    curl -fs --max-time 5 -H "X-aws-ec2-metadata-token: $token" "$metadata/meta-data/$1"
}

# complete HOOK: a hook that is not waited for is no failure.
complete() {
  local answer
  answer=$("$lib/cloud" autoscaling complete-lifecycle-action --lifecycle-action-result CONTINUE --lifecycle-hook-name "$1" \
    --auto-scaling-group-name "$(ask tags/instance/aws:autoscaling:groupName)" --instance-id "$instance" 2>&1) && return
  echo "$answer" >&2
  [[ $answer == *'No active Lifecycle Action'* ]]
}

leaves() {
  [ "$(ask autoscaling/target-lifecycle-state)" = Terminated ]
}

watch() {
  local instance
  instance=$(cat /var/lib/cloud/data/instance-id)
  until leaves; do
    if [ "$(cat $told 2>/dev/null)" != "$instance" ] && curl -fs --max-time 5 -o /dev/null "$READY_URL"; then
      if complete "$HOOK_LAUNCH"; then echo "$instance" >$told; fi
    fi
    sleep 3
  done
  systemctl stop flanneld.service
  complete "$HOOK_TERMINATE"
}

case ${1:-} in
  watch) watch ;;
  stopped) if leaves; then /opt/flannel/current/flanneld release; fi ;;
  *) echo "usage: lifecycle watch | stopped" >&2 && exit 2 ;;
esac

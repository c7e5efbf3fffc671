#!/bin/bash
# Whether EC2 drops packets that are not addressed to this instance, as a parameter of the stack says: "off" where packets of pods
# arrive as they are, else "on". At every boot, and when the backend changes; a launch template cannot say it.
set -euo pipefail
# shellcheck source=/dev/null
. /etc/flannel/bootstrap.env
lib=/usr/local/lib/flannel
state=/etc/flannel/source-dest-check
wanted=$("$lib/cloud" ssm get-parameter --name "$PARAMETER_SOURCE_DEST_CHECK" --query Parameter.Value --output text)
case $wanted in
  off)
    # Before it is done: whoever switches it on again has to know of an attempt.
    echo off >$state
    flag=--no-source-dest-check
    ;;
  on)
    # An instance begins with it.
    if [ "$(cat $state 2>/dev/null)" != off ]; then exit 0; fi
    flag=--source-dest-check
    ;;
  *)
    echo "parameter $PARAMETER_SOURCE_DEST_CHECK is neither on nor off" >&2
    exit 1
    ;;
esac
"$lib/cloud" ec2 modify-instance-attribute $flag --instance-id "$(cat /var/lib/cloud/data/instance-id)"
echo "$wanted" >$state

#!/bin/bash
# cloud SERVICE OPERATION [ARGUMENT]...: the AWS CLI in this machine's region, at the endpoint that the stack names, if any.
set -euo pipefail
# shellcheck source=/dev/null
. /etc/flannel/bootstrap.env
case $1 in
  s3*) endpoint=${ENDPOINT_S3:-} ;;
  ssm) endpoint=${ENDPOINT_SSM:-} ;;
  ec2) endpoint=${ENDPOINT_EC2:-} ;;
  autoscaling) endpoint=${ENDPOINT_AUTOSCALING:-} ;;
  *) endpoint= ;;
esac
export AWS_DEFAULT_REGION=$REGION AWS_RETRY_MODE=standard AWS_MAX_ATTEMPTS=5 AWS_PAGER=
exec aws ${endpoint:+--endpoint-url "$endpoint"} "$@"

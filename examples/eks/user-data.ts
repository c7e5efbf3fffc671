/** What nodes of EKS are told at their first boot, beside what EKS tells them itself. Pure. */

/**
 * For nodeadm of Amazon Linux 2023. Without a number, kubelet takes as many pods as Amazon's CNI has addresses for on this type of instance: 11
 * on a t3.small.
 */
export function nodeConfig(maxPods: number): string {
  return `MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="//"

--//
Content-Type: application/node.eks.aws

apiVersion: node.eks.aws/v1alpha1
kind: NodeConfig
spec:
  kubelet:
    config:
      maxPods: ${maxPods}

--//--
`;
}

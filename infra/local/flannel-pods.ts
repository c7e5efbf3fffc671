/** flanneld as pods of a cluster on this machine, made by the component that any cluster takes. */
import { formatNetworkConfig, type NetworkConfig } from '@flannel-ts/flannel/network-config';
import { Provider } from '@pulumi/kubernetes';
import * as pulumi from '@pulumi/pulumi';
import { Flannel } from '../kubernetes/flannel.ts';
import { whenReady } from '../kubernetes/ready.ts';

export interface FlannelPodsArgs {
  readonly stack: string;
  readonly network: NetworkConfig;
  /** Which every machine's containerd has. */
  readonly image: string;
  readonly kubeconfig: pulumi.Input<string>;
  /** What the API server goes with. */
  readonly control: pulumi.Resource;
}

export class FlannelPods extends pulumi.ComponentResource {
  constructor(name: string, args: FlannelPodsArgs, options?: pulumi.ComponentResourceOptions) {
    super('flannel:local:FlannelPods', name, {}, options);
    const { stack, network, image, control } = args;
    const provider = new Provider(
      'cluster-api',
      {
        kubeconfig: whenReady(args.kubeconfig),
        // The same cluster by another port or another certificate.
        clusterIdentifier: stack,
        // Otherwise another network config removes the config map for a moment.
        enableConfigMapMutable: true,
        // A look at a machine that is switched off finds out nothing.
        skipUpdateUnreachable: true,
      },
      { parent: this },
    );
    const settings = { network: JSON.parse(formatNetworkConfig(network)) as object, image };
    new Flannel(
      'flannel',
      { ...settings, imagePullPolicy: 'Never' },
      {
        parent: this,
        provider,
        // They are in etcd and go with it: whoever takes the cluster away asks no API server.
        transformations: [({ props, opts }) => ({ props, opts: { ...opts, deletedWith: control } })],
      },
    );
    this.registerOutputs();
  }
}

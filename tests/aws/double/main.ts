/**
 * TEST DOUBLE of Pulumi's providers aws and tls: an AWS that exists in the memory of this process. The real Pulumi CLI
 * attaches to it by PULUMI_DEBUG_PROVIDERS. It ends with its parent, or by a signal.
 */
import { serveCli } from './cli.ts';
import { Cloud } from './cloud.ts';
import { invoke } from './functions.ts';
import { ACCESS } from './kinds/access.ts';
import { GROUPS, HOOK } from './kinds/groups.ts';
import { MACHINES } from './kinds/machines.ts';
import { NETWORK } from './kinds/network.ts';
import { SECURITY } from './kinds/security.ts';
import { STORAGE } from './kinds/storage.ts';
import { DoubledPackage, view } from './package.ts';
import type { Control, ControlRequest, Ready } from './protocol.ts';
import { Provider } from './provider.ts';
import { Schema } from './schema.ts';
import { serve } from './server.ts';
import { TLS } from './tls.ts';
import type { Bag } from './values.ts';

async function main(): Promise<void> {
  const cloud = new Cloud();
  const kinds = [...NETWORK, ...SECURITY, ...MACHINES, ...GROUPS, ...ACCESS, ...STORAGE];
  const aws = new Provider(new Schema('@pulumi/aws'), kinds);
  const tls = new Provider(new Schema('@pulumi/tls'), TLS);
  const ports = await Promise.all([
    serve(new DoubledPackage({ cloud, provider: aws, invoke, needsRegion: true })),
    serve(new DoubledPackage({ cloud, provider: tls, invoke, needsRegion: false })),
  ]);
  const providers = `aws:${ports[0]},tls:${ports[1]}`;
  if (process.send === undefined) {
    process.stdout.write(`PULUMI_DEBUG_PROVIDERS=${providers}\n`);
    return;
  }
  listen(control(cloud));
  process.send({ ready: true, providers, cliPort: await serveCli(cloud) } satisfies Ready);
}

function control(cloud: Cloud): Control {
  return {
    fail: (fault) => cloud.fail(fault),
    hold: (hold) => cloud.hold(hold),
    clearFaults: () => cloud.clearFaults(),
    journal: () => cloud.journal,
    clearJournal: () => {
      cloud.journal = [];
    },
    resources: () => [...cloud.resources.values()].map(view),
    machines: () =>
      [...cloud.machines.values()].map(({ id, group, launchTemplateVersion, address }) => ({
        id,
        group,
        launchTemplateVersion,
        address,
      })),
    vanish: (urn) => {
      const { type, id } = cloud.byUrn(urn);
      cloud.remove(type, id);
      for (const machine of [...cloud.machines.values()]) if (machine.group === id) cloud.machines.delete(machine.id);
      for (const hook of cloud.users(HOOK, 'autoscalingGroupName', id)) cloud.remove(hook.type, hook.id);
    },
    drift: (urn, inputs) => {
      const resource = cloud.byUrn(urn);
      resource.inputs = { ...resource.inputs, ...(inputs as Bag) };
      resource.outputs = { ...resource.outputs, ...(inputs as Bag) };
    },
    publishImages: () => {
      cloud.published += 1;
    },
    neverReady: (text) => {
      cloud.neverReady = text;
    },
    reset: () => cloud.reset(),
  };
}

function listen(controlled: Control): void {
  process.on('disconnect', () => process.exit(0));
  process.on('message', ({ call, method, args }: ControlRequest) => {
    try {
      const result = (controlled[method] as (...args: readonly unknown[]) => unknown)(...args) ?? null;
      process.send!({ call, result });
    } catch (error) {
      process.send!({ call, error: (error as Error).message });
    }
  });
}

main().catch((error: Error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exit(1);
});

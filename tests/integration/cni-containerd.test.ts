/** Debian's containerd calls the plugin by CRI, with no other plugins than ours. */
import { mkdirSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { type CniNode, compileResident, eachOnFreshNode, inside, pings } from './support/cni-plugin.ts';
import { Containerd } from './support/containerd.ts';

jest.setTimeout(120_000);

let node: CniNode;
let containerd: Containerd;

eachOnFreshNode(compileResident, (fresh) => {
  node = fresh;
});

beforeEach(async () => {
  const bin = node.file('bin');
  mkdirSync(bin);
  for (const name of ['flannel', 'loopback']) symlinkSync(node.program.command.at(-1)!, path.join(bin, name));
  containerd = new Containerd(node.host, bin, node.program.resident!.enter);
  const { cniVersion, name, ...plugin } = node.conf;
  containerd.writeConflist({ cniVersion, name, plugins: [{ ...plugin, capabilities: { portMappings: true } }] });
  await containerd.start();
});
afterEach(() => containerd.destroy());

const left = () => ({ ports: node.ports().length, reserved: node.reserved() });

test('#54 pods get addresses and ports, and nothing is left of them after stop, stop and remove', async () => {
  const sandboxes = await Promise.all(
    ['a', 'b', 'c'].map((name, at) => containerd.run(name, [{ hostPort: 8080 + at, containerPort: 80 }])),
  );
  expect(new Set(sandboxes.map(({ ip }) => ip)).size).toBe(3);
  for (const { ip } of sandboxes) {
    expect(ip).toMatch(/^10\.244\.1\./);
    expect(pings(node.host, ip)).toBe(true);
  }
  expect(inside(node.host, 'nft', 'list', 'ruleset')).toContain('tcp . 8081');
  for (const { id } of sandboxes) {
    await containerd.stop(id);
    await containerd.stop(id);
    await containerd.remove(id);
  }
  expect(left()).toEqual({ ports: 0, reserved: [] });
  expect(inside(node.host, 'nft', 'list', 'ruleset')).not.toContain('flannel_cni_ports');
});

test('#54 a containerd that is killed while it makes pods ends them after its start', async () => {
  const made = await containerd.run('before');
  const late = Promise.allSettled(['x', 'y'].map((name) => containerd.run(name)));
  await new Promise((resolve) => setTimeout(resolve, 60));
  await containerd.kill();
  await late;
  await containerd.start();
  expect(pings(node.host, made.ip)).toBe(true);
  await containerd.stop(made.id);
  await containerd.remove(made.id);
  const again = await containerd.run('after');
  expect(pings(node.host, again.ip)).toBe(true);
  await containerd.stop(again.id);
  await containerd.remove(again.id);
  expect(node.reserved()).not.toContain(made.ip);
});

test('#54 containers of `ctr run --cni` have addresses, reach the node and each other, and nothing is left of them', async () => {
  const show = '/bin/busybox ip -o address show eth0; /bin/busybox ping -c1 -w30 10.244.1.1';
  const first = containerd.runByCtr('a', `${show}; echo hello of a | /bin/busybox nc -l -p 7`);
  await Promise.race([first, until(() => node.reserved().length === 1)]);
  const call = 'until /bin/busybox nc 10.244.1.2 7 </dev/null; do /bin/busybox sleep 0.1; done';
  const [a, b] = await Promise.all([first, containerd.runByCtr('b', `${show}; ${call}`)]);
  expect([a, b]).toEqual([
    expect.stringContaining('inet 10.244.1.2/24'),
    expect.stringContaining('inet 10.244.1.3/24'),
  ]);
  for (const output of [a, b]) expect(output).toContain(' 1 packets received');
  expect(b).toContain('hello of a');
  expect(left()).toEqual({ ports: 0, reserved: [] });
});

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 20));
}

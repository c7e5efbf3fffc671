import { formatIp, parseIp } from '@flannel-ts/inet/ip';
import { pino } from 'pino';
import { findInterface } from './find.ts';
import type { NodeFacts } from './select.ts';

const nodeWith = (...addresses: string[]): NodeFacts => ({
  links: [
    {
      name: 'eth0',
      index: 2,
      mtu: 1500,
      up: true,
      addresses: addresses.map((text) => ({ address: parseIp(text), permanent: true, unfit: false })),
    },
  ],
  defaultRoutes: { 4: [], 6: [] },
  reachSource: undefined,
});
const search = { options: { names: ['eth0'], patterns: [] }, outer: [4] as const, networks: [], subnets: [] };

function run(looks: readonly (NodeFacts | Error)[], limitMs: number) {
  const reports: (string | undefined)[] = [];
  const lines: string[] = [];
  let count = 0;
  const parts = {
    read: () => {
      const facts = looks[Math.min(count++, looks.length - 1)]!;
      if (facts instanceof Error) throw facts;
      return facts;
    },
    report: (trouble?: string) => void reports.push(trouble),
    log: pino({ base: null }, { write: (line: string) => void lines.push(JSON.parse(line).msg) }),
  };
  const found = findInterface(search, parts, new AbortController().signal, { limitMs, everyMs: 1 });
  return { found, reports, lines };
}

test('findInterface() waits for an address that comes late, through errors of the kernel, and says each reason once', async () => {
  const { found, reports, lines } = run(
    [nodeWith(), nodeWith(), new Error('Cannot list links: no memory (ENOMEM)'), nodeWith('10.0.0.1')],
    60_000,
  );
  expect(formatIp((await found).address)).toBe('10.0.0.1');
  expect(lines).toEqual([
    expect.stringMatching(/interface eth0 has no usable IPv4 address\): waiting up to \d+ s for it$/),
    expect.stringMatching(/^Cannot list links: no memory \(ENOMEM\): waiting/),
  ]);
  expect(reports.at(-1)).toBeUndefined();
  expect(reports[0]).toContain('has no usable IPv4 address');
});

test('findInterface() gives up in the end, with what was missing', async () => {
  await expect(run([nodeWith()], 5).found).rejects.toMatchObject({
    code: 'NO_INTERFACE',
    message: expect.stringContaining('-iface=eth0: interface eth0 has no usable IPv4 address'),
  });
});

import { parseNetworkConfig } from '@flannel-ts/flannel/network-config';
import { parseIp } from '@flannel-ts/inet/ip';
import { parsePrefix } from '@flannel-ts/inet/prefix';
import type { Netlink } from '@flannel-ts/rtnetlink/connection';
import { pino } from 'pino';
import { externalAt } from '../testing/external.ts';
import { createBackend } from './backend/registry.ts';
import type { DataPath } from './datapath/datapath.ts';
import { readLocalAddresses, readPaths } from './underlay/surroundings.ts';
import { View } from './view.ts';

jest.mock('./underlay/surroundings.ts', () => ({ readLocalAddresses: jest.fn(), readPaths: jest.fn() }));

const none = (): never => {
  throw new Error('udp has no identity');
};
const NO_IDENTITY = { mac: none, wireguardKey: none };
const config = parseNetworkConfig('{"Network":"10.5.0.0/16","Backend":{"Type":"udp"}}');
const lease = (n: number) => ({
  subnet: parsePrefix(`10.5.${n}.0/24`, 4),
  attributes: { publicIp: parseIp(`10.64.0.${n}`, 4), backendType: '' },
});
const setPeers = jest.fn();
const looks = () => jest.mocked(readPaths).mock.calls.length;
const noPaths = () => ({ tunnelled: new Map(), direct: new Map() });

let view: View;

beforeEach(() => {
  jest.useFakeTimers();
  jest.mocked(readLocalAddresses).mockReset().mockReturnValue([]);
  jest.mocked(readPaths).mockReset().mockImplementation(noPaths);
  setPeers.mockReset();
  view = new View(
    {
      config,
      backend: createBackend(config, NO_IDENTITY),
      external: externalAt(['10.64.0.1']),
      lease: lease(1),
      required: [],
    },
    {
      nl: {} as Netlink,
      startDataPath: () => ({ device: 'flannel0', setPeers }) as unknown as DataPath,
      reportDataPath: () => {},
      onPeers: () => {},
      log: pino({ level: 'silent' }),
    },
  );
  view.apply({ kind: 'snapshot', leases: [lease(1), lease(2)] });
  jest.mocked(readPaths).mockClear();
});
afterEach(() => jest.useRealTimers());

test('look() asks the kernel once a minute, and at once after the kernel has changed something', () => {
  for (let i = 0; i < 10; i++) view.look();
  expect(looks()).toBe(1);
  jest.advanceTimersByTime(59_999);
  view.look();
  expect(looks()).toBe(1);
  jest.advanceTimersByTime(1);
  view.look();
  expect(looks()).toBe(2);
  view.kernelChanged();
  for (let i = 0; i < 10; i++) view.look();
  expect(looks()).toBe(3);
});

test('look() asks again at the next pass when the kernel has failed to answer', () => {
  jest.mocked(readPaths).mockImplementationOnce(() => {
    throw new Error('Interrupted');
  });
  expect(() => view.look()).toThrow('Interrupted');
  view.look();
  expect(looks()).toBe(2);
});

test('apply() that cannot look up the routes to new nodes makes the next look() ask for all', () => {
  view.look();
  jest.mocked(readPaths).mockImplementationOnce(() => {
    throw new Error('Interrupted');
  });
  expect(view.apply({ kind: 'changes', changed: [lease(3)], removed: [] })).toBe(true);
  jest.mocked(readPaths).mockClear();
  view.look();
  expect(jest.mocked(readPaths).mock.calls[0]![1]).toEqual(new Set([1, 2, 3].map((n) => parseIp(`10.64.0.${n}`))));
});

test('look() removes a peer that is reached through a tunnel by now, and adds it again afterwards', () => {
  expect(setPeers).toHaveBeenLastCalledWith({
    set: [expect.objectContaining({ subnet: lease(2).subnet })],
    removed: [],
  });
  const tunnelled = new Map([[lease(2).attributes.publicIp, 'flannel.1']]);
  jest.mocked(readPaths).mockImplementation(() => ({ ...noPaths(), tunnelled }));
  view.look();
  expect(setPeers).toHaveBeenLastCalledWith({ set: [], removed: [lease(2).subnet] });
  expect(view.refused).toHaveLength(1);
  jest.mocked(readPaths).mockImplementation(noPaths);
  view.kernelChanged();
  view.look();
  expect(view.refused).toEqual([]);
});

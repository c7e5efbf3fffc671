/** A kernel with `ipv6.disable=1` answers a dump for IPv6 with what it has of IPv4 (bytes of Linux 6.12). */
import { fromHex, type Script, scriptedTransport } from '../testing/scripted-transport.ts';
import { listAddresses } from './address.ts';
import { Netlink } from './connection.ts';
import { AF_INET, AF_INET6 } from './constants.ts';
import { NLMSG_DONE } from './message.ts';
import { listNeighbours } from './neighbour.ts';
import { listRoutes } from './route.ts';

const ADDRESS = '02080000 01000000  0800 0100 7f000001  0800 0200 7f000001';
const ROUTE = '02180000 fe030001 00000000  0800 0f00 fe000000  0800 0100 0a400000  0800 0400 02000000';
const NEIGHBOUR = '02000000 02000000 02000001  0800 0100 0a400001  0a00 0200 0a580a4000010000';

const answering =
  (payload: string): Script =>
  () => [[{ type: 20, payload: fromHex(payload) }], [{ type: NLMSG_DONE, payload: new Uint8Array(4) }]];

test.each([
  ['listAddresses()', ADDRESS, listAddresses],
  ['listRoutes()', ROUTE, listRoutes],
  ['listNeighbours()', NEIGHBOUR, listNeighbours],
])('%s of one family passes over answers of the other', (_, payload, list) => {
  const nl = new Netlink(scriptedTransport(answering(payload)));
  expect(list(nl, { family: 6 })).toEqual([]);
  expect(list(nl, { family: 4 })).toHaveLength(1);
  expect(list(nl, {})).toHaveLength(1);
});

test.each([
  ['listAddresses()', listAddresses],
  ['listRoutes()', listRoutes],
  ['listNeighbours()', listNeighbours],
])('%s without a family asks for both', (_, list) => {
  const transport = scriptedTransport(() => [[{ type: NLMSG_DONE, payload: new Uint8Array(4) }]]);
  list(new Netlink(transport), {});
  expect(transport.requests.map(({ payload }) => payload[0])).toEqual([AF_INET, AF_INET6]);
});

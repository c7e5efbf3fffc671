/** flannel.1 of a node at 10.0.0.1. */
import { parseIp } from '@flannel-ts/inet/ip';
import { parseMac } from '@flannel-ts/inet/mac';
import { parsePort } from '@flannel-ts/inet/port';

export const VXLAN = {
  kind: 'vxlan',
  mac: parseMac('0a:58:0a:05:01:00'),
  vni: 1,
  port: parsePort('8472'),
  parent: 'eth0',
  local: parseIp('10.0.0.1'),
  learning: false,
  gbp: false,
} as const;

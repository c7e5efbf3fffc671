/** `struct ndmsg { u8 family; u8 pad1; u16 pad2; s32 ifindex; u16 state; u8 flags; u8 type; }` (linux/neighbour.h). */
import { viewOf } from './attributes.ts';
import { checkLength } from './errors.ts';

export const NDMSG_LENGTH = 12;

export interface NeighbourHeader {
  readonly family: number;
  readonly index: number;
  readonly state: number;
  readonly flags: number;
}

export function encodeNeighbourHeader(header: Partial<NeighbourHeader>): Uint8Array {
  const bytes = new Uint8Array(NDMSG_LENGTH);
  const view = viewOf(bytes);
  view.setUint8(0, header.family ?? 0);
  view.setInt32(4, header.index ?? 0, true);
  view.setUint16(8, header.state ?? 0, true);
  view.setUint8(10, header.flags ?? 0);
  return bytes;
}

export function parseNeighbourHeader(payload: Uint8Array): NeighbourHeader {
  checkLength(payload, NDMSG_LENGTH, 'read a neighbour');
  const view = viewOf(payload);
  return {
    family: view.getUint8(0),
    index: view.getInt32(4, true),
    state: view.getUint16(8, true),
    flags: view.getUint8(10),
  };
}

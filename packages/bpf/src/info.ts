/** What the kernel says about programs, maps and links: `bpftool prog show`. */

import { errnoName } from '@flannel-ts/linux/errno';
import type { Fd } from '@flannel-ts/linux/files';
import { textOf } from '@flannel-ts/linux/memory';
import { Attribute, bpf, type Command, failed, tryBpf } from './call.ts';
import { MAP_TYPES, type MapSpec, type MapType } from './map.ts';

export interface ProgramInfo {
  readonly id: number;
  readonly type: number;
  readonly name: string;
  /** Of its instructions: equal programs have equal tags. */
  readonly tag: string;
  readonly mapIds: readonly number[];
}

export interface LinkInfo {
  readonly id: number;
  readonly type: number;
  readonly programId: number;
  /** Of the device that it is attached to; 0 when that is gone, or somebody detached it. */
  readonly interfaceIndex: number;
}

const INFO_BYTES = 256;
const MOST_MAPS = 64;

export function programInfo(fd: Fd): ProgramInfo {
  const maps = new Uint32Array(MOST_MAPS);
  const mapBytes = new Uint8Array(maps.buffer);
  const ask = new Attribute().u32(52, MOST_MAPS).pointer(56, mapBytes).bytes;
  const info = infoOf(fd, ask);
  const view = new DataView(info.buffer);
  return {
    type: view.getUint32(0, true),
    id: view.getUint32(4, true),
    tag: Buffer.from(info.subarray(8, 16)).toString('hex'),
    mapIds: [...maps.subarray(0, view.getUint32(52, true))],
    name: textOf(info.subarray(64, 80)),
  };
}

export function mapInfo(fd: Fd): { readonly id: number; readonly spec: MapSpec } {
  const info = infoOf(fd);
  const view = new DataView(info.buffer);
  const number = view.getUint32(0, true);
  const [type] = (Object.entries(MAP_TYPES) as [MapType, number][]).find(([, known]) => known === number) ?? [];
  return {
    id: view.getUint32(4, true),
    spec: {
      type: type ?? 'hash',
      keyBytes: view.getUint32(8, true),
      valueBytes: view.getUint32(12, true),
      maxEntries: view.getUint32(16, true),
      name: textOf(info.subarray(24, 40)),
    },
  };
}

export function linkInfo(fd: Fd): LinkInfo {
  const info = infoOf(fd);
  const view = new DataView(info.buffer);
  return {
    type: view.getUint32(0, true),
    id: view.getUint32(4, true),
    programId: view.getUint32(8, true),
    interfaceIndex: view.getUint32(16, true),
  };
}

/** Numbers of all there is in this kernel, of every namespace. Needs CAP_SYS_ADMIN. */
export function* allIds(kind: 'map' | 'program' | 'link'): Generator<number> {
  const commands = { map: 'MAP_GET_NEXT_ID', program: 'PROG_GET_NEXT_ID', link: 'LINK_GET_NEXT_ID' } as const;
  const command: Command = commands[kind];
  let id = 0;
  for (;;) {
    const attribute = new Attribute().u32(0, id);
    const result = tryBpf(command, attribute);
    if (result < 0 && errnoName(-result) === 'ENOENT') return;
    if (result < 0) throw failed(command, -result, `list each ${kind}`);
    id = attribute.read32(4);
    yield id;
  }
}

function infoOf(fd: Fd, ask?: Uint8Array): Uint8Array {
  const info = new Uint8Array(INFO_BYTES);
  if (ask !== undefined) info.set(ask);
  bpf(
    'OBJ_GET_INFO_BY_FD',
    new Attribute().u32(0, fd).u32(4, INFO_BYTES).pointer(8, info),
    `ask about descriptor ${fd}`,
  );
  return info;
}

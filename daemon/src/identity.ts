/**
 * What other nodes know this one by, kept on disk: peers keep sending to the MAC address and the key that they know, and learn of
 * another one only when the lease says so.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type Mac, parseMac, randomLocalMac } from '@flannel-ts/inet/mac';
import { generatePrivateKey, isKey } from '@flannel-ts/wireguard/key';
import type { Logger } from 'pino';
import { writeFileAtomically } from './atomic-file.ts';
import type { Identity } from './backend/backend.ts';
import { messageOf } from './errors.ts';

interface Kept {
  /** By name of the device. */
  readonly macs: Readonly<Record<string, Mac>>;
  readonly wireguardKey?: string;
}

/**
 * `existingMac`: of a device that is there, made by an earlier flanneld or by flannel. A file that cannot be written is told once;
 * what was made then holds for this process.
 */
export function openIdentity(file: string, existingMac: (device: string) => Mac | undefined, log: Logger): Identity {
  let kept = readKept(file, log);
  const keep = (next: Kept): void => {
    kept = next;
    try {
      const text = `${JSON.stringify(kept)}\n`;
      writeFileAtomically(file, text, { mode: 0o600, temporary: `${file}.${process.pid}.tmp` });
    } catch (error) {
      log.warn(`This node's identity will be another one after the next reboot: cannot keep it: ${messageOf(error)}`);
    }
  };
  return {
    mac(device) {
      const known = kept.macs[device];
      if (known !== undefined) return known;
      const mac = existingMac(device) ?? randomLocalMac(randomBytes);
      keep({ ...kept, macs: { ...kept.macs, [device]: mac } });
      return mac;
    },
    wireguardKey() {
      if (kept.wireguardKey !== undefined) return kept.wireguardKey;
      const wireguardKey = generatePrivateKey();
      keep({ ...kept, wireguardKey });
      return wireguardKey;
    },
  };
}

/** Nothing when there is no file, and a word in the log when there is one that says nothing. */
function readKept(file: string, log: Logger): Kept {
  try {
    const { macs, wireguardKey } = JSON.parse(readFileSync(file, 'utf8'));
    return {
      macs: Object.fromEntries(Object.entries(macs ?? {}).map(([device, mac]) => [device, parseMac(String(mac))])),
      ...(isKey(wireguardKey) && { wireguardKey }),
    };
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    // The error of a parser may quote the key.
    if (!isMissing) log.warn(`Cannot read this node's identity in ${file}: making a new one`);
    return { macs: {} };
  }
}

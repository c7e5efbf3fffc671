import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

/**
 * What distinguishes this machine from a copy of its disk: the hypervisor's or the board's id; a hash, since the ids are not
 * for everybody to read. Undefined where there is none.
 */
export function machineIdentity(): string | undefined {
  const ids = ['/sys/class/dmi/id/product_uuid', '/etc/machine-id'].map((file) => {
    try {
      return readFileSync(file, 'utf8').trim();
    } catch {
      return '';
    }
  });
  return ids.every((id) => id === '') ? undefined : createHash('sha256').update(ids.join()).digest('hex').slice(0, 32);
}

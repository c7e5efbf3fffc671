/**
 * systemd's descriptor store (sd_pid_notify_with_fds(3), FileDescriptorStoreMax= of the unit): what is kept there stays open while no
 * flanneld runs, and is given to the next one as its first descriptors (sd_listen_fds(3)). systemd closes it when the service is stopped
 * and not started again.
 */
import { closeFd, type Fd, setInheritable } from '@flannel-ts/linux/files';
import type { Logger } from 'pino';
import type { DescriptorStore } from '../datapath/datapath.ts';
import { messageOf } from '../errors.ts';
import { notifySystemd } from './notify.ts';

const FIRST = 3;
/** So that nobody takes descriptors of socket units for ours. */
const PREFIX = 'flannel-';

export interface GivenDescriptors extends DescriptorStore {
  /** What is in use at this moment, by name. */
  readonly inUse: ReadonlyMap<string, Fd>;
  /** What nobody has taken: it belonged to another backend. */
  closeRest(): void;
}

type Notify = (state: string, descriptors: readonly Fd[]) => void;

/** What an earlier process that still runs has given, beside systemd. */
export interface HandedOver {
  readonly descriptors: ReadonlyMap<string, Fd>;
  readonly released: () => Promise<void>;
  readonly discard: () => void;
}

/** Without systemd nothing is kept, and there is nothing to take but what was handed over. */
export function openDescriptorStore(
  log: Logger,
  handedOver?: HandedOver,
  environment: NodeJS.ProcessEnv = process.env,
  notify: Notify = notifySystemd,
): GivenDescriptors {
  const given = new Map([...givenDescriptors(environment), ...(handedOver?.descriptors ?? [])]);
  const inUse = new Map<string, Fd>();
  // A program that this process starts must not take them for its own.
  for (const name of ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES']) delete environment[name];
  for (const fd of given.values()) setInheritable(fd, false);
  const tell = (state: string, descriptors: readonly Fd[] = []): void => {
    try {
      notify(state, descriptors);
    } catch (error) {
      log.warn(`Cannot tell systemd what to keep for the next start: ${messageOf(error)}`);
    }
  };
  const forget = (name: string): void => {
    inUse.delete(name);
    tell(`FDSTOREREMOVE=1\nFDNAME=${PREFIX}${name}`);
  };
  const keep = (name: string, fd: Fd): void => {
    forget(name);
    inUse.set(name, fd);
    // Errors are for the engine to find, not for systemd.
    tell(`FDSTORE=1\nFDNAME=${PREFIX}${name}\nFDPOLL=0`, [fd]);
  };
  return {
    inUse,
    take: (name) => {
      const fd = given.get(name);
      given.delete(name);
      if (fd === undefined) return undefined;
      if (handedOver?.descriptors.has(name)) keep(name, fd);
      else inUse.set(name, fd);
      return fd;
    },
    released: async () => handedOver?.released(),
    discard: () => handedOver?.discard(),
    keep,
    forget,
    closeRest: () => {
      for (const [name, fd] of given) {
        forget(name);
        closeFd(fd);
      }
      given.clear();
    },
  };
}

/** Ours among those that systemd gives to this process. */
function givenDescriptors({ LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES = '' }: NodeJS.ProcessEnv): Map<string, Fd> {
  const found = new Map<string, Fd>();
  if (LISTEN_PID !== String(process.pid)) return found;
  const names = LISTEN_FDNAMES.split(':').slice(0, Number(LISTEN_FDS));
  for (const [index, name] of names.entries()) {
    if (name.startsWith(PREFIX)) found.set(name.slice(PREFIX.length), FIRST + index);
  }
  return found;
}

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
  /** What nobody has taken: it belonged to another backend. */
  closeRest(): void;
}

type Notify = (state: string, descriptors: readonly Fd[]) => void;

/** Without systemd nothing is kept, and there is nothing to take. */
export function openDescriptorStore(
  log: Logger,
  environment: NodeJS.ProcessEnv = process.env,
  notify: Notify = notifySystemd,
): GivenDescriptors {
  const given = givenDescriptors(environment);
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
  const forget = (name: string): void => tell(`FDSTOREREMOVE=1\nFDNAME=${PREFIX}${name}`);
  return {
    take: (name) => {
      const fd = given.get(name);
      given.delete(name);
      return fd;
    },
    keep: (name, fd) => {
      forget(name);
      // Errors are for the engine to find, not for systemd.
      tell(`FDSTORE=1\nFDNAME=${PREFIX}${name}\nFDPOLL=0`, [fd]);
    },
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

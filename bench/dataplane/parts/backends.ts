/** vxlan and host-gw as this flanneld, flannel and plain commands set them up: the kernel does the rest, so all should be alike. */
import { Flannel, SHIPPED } from '../flanneld.ts';
import type { Lab } from '../lab.ts';
import { tcpRate, warmUp } from '../measure.ts';
import { type Session, VARIANTS } from '../session.ts';

const BACKENDS = ['vxlan', 'host-gw'] as const;
const FLAGS = ['-iptables-forward-rules=false'];

export async function measureBackends(session: Session): Promise<void> {
  const { rounds, upstream } = session.settings;
  const programs = [
    { name: 'by flanneld', program: SHIPPED },
    ...(upstream === undefined ? [] : [{ name: 'by flannel', program: upstream }]),
  ];
  for (const backend of BACKENDS) {
    for (let round = 0; round < rounds; round++) {
      const turn = round % programs.length;
      // Each in a laboratory of its own: what a daemon made stays when it ends.
      for (const { name, program } of [...programs.slice(turn), ...programs.slice(0, turn)]) {
        await session.withLab(1500, async (lab) => {
          const flannel = new Flannel(lab, program, session.program.path('flannel'), backend);
          try {
            await flannel.start(FLAGS);
            await measureOne(session, lab, backend, name);
          } finally {
            await flannel.stop();
          }
        });
      }
      await session.withLab(1500, (lab) =>
        session.onPath(lab, { name: 'by hand', path: backend }, () => measureOne(session, lab, backend, 'by hand')),
      );
    }
  }
}

async function measureOne({ record, settings }: Session, lab: Lab, backend: string, series: string): Promise<void> {
  for (const variant of VARIANTS) {
    lab.setVariant(variant);
    warmUp(lab);
    const { rate } = await tcpRate(lab, 1, settings.seconds);
    record.note(`Backends: ${backend}, TCP, 1 stream, ${variant}`, 'Gbit/s', series, rate);
  }
}

/** Many real daemons on one machine. */
import { ControlLab, untilTrue } from './lab.ts';
import { type Contender, record, type Samples } from './samples.ts';
import { now } from './stream.ts';

/** All start at once. */
export async function measureCrowd({ program }: Contender, count: number, samples: Samples): Promise<void> {
  const lab = await ControlLab.create({ Network: '10.5.0.0/16', SubnetLen: 24, Backend: { Type: 'udp' } });
  try {
    for (let i = 0; i < count; i++) lab.addNode(program);
    const start = now();
    for (const node of lab.nodes) node.start();
    const haveSubnets = () => lab.nodes.every((node) => node.subnet !== undefined || !node.isRunning);
    await untilTrue(haveSubnets, () => 'a subnet for each', 300_000);
    const failed = lab.nodes.filter((node) => !node.isRunning);
    record(samples, `${count} daemons at once: until each has its subnet`, 'ms', now() - start);
    record(samples, `${count} daemons at once: ended`, 'daemons', failed.length);
    const resident = lab.nodes.filter((node) => node.isRunning).map((node) => node.residentBytes / 1e6);
    record(samples, `${count} daemons at once: resident memory of one`, 'MB', Math.max(...resident));
  } finally {
    await lab.destroy();
  }
}

/** How many of 25 end without a subnet where there are 31. */
export async function measureScarceSubnets({ program }: Contender, samples: Samples): Promise<void> {
  const range = { SubnetLen: 24, SubnetMin: '10.5.1.0', SubnetMax: '10.5.31.0' };
  const lab = await ControlLab.create({ Network: '10.5.0.0/16', ...range, Backend: { Type: 'udp' } });
  try {
    for (let i = 0; i < 25; i++) lab.addNode(program);
    for (const node of lab.nodes) node.start();
    const settled = () => lab.nodes.every((node) => node.subnet !== undefined || !node.isRunning);
    await untilTrue(settled, () => 'a subnet for each', 300_000);
    const failed = lab.nodes.filter((node) => !node.isRunning).length;
    record(samples, '25 daemons at once into 31 subnets: ended', 'daemons', failed);
  } finally {
    await lab.destroy();
  }
}

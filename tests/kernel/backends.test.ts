/** The suite of all backends (tests/integration/support/backend-suite.ts) for those whose modules many machines' kernels lack. */
import { rmSync } from 'node:fs';
import path from 'node:path';
import { EMULATED, OF_MODULES, suiteResults, suiteScript } from '../integration/support/backend-suite.ts';
import { compileFlanneld } from '../integration/support/flanneld-bundle.ts';
import { CLUSTER_PROGRAMS } from './support/cluster-script.ts';
import { fetchKernel } from './support/kernels.ts';
import { runOnKernel } from './support/machine.ts';

jest.setTimeout(900_000);

let flanneld: string;
beforeAll(() => {
  flanneld = compileFlanneld();
});
afterAll(() => rmSync(path.dirname(flanneld), { recursive: true, force: true }));

test('ipip and wireguard do on Linux 6.1 what every backend has to do', async () => {
  const programs = { '/usr/bin/flanneld': flanneld, '/usr/bin/ping': '/usr/bin/ping', ...CLUSTER_PROGRAMS };
  const script = suiteScript(OF_MODULES, EMULATED);
  const kernel = fetchKernel('6.1');
  expect(await runOnKernel({ kernel, programs, script, timeoutMs: 840_000 })).toEqual(suiteResults(OF_MODULES));
});

import { join } from 'node:path';
import { program, removeScratch, scratch } from '../testing/setup.ts';
import { missingPackages, PACKAGES, planPackages } from './debian.mjs';

afterEach(removeScratch);

/** A PATH with these programs. The system's own sbin directories are looked at as well. */
function context(programs: readonly string[]) {
  const PATH = scratch();
  for (const name of programs) program(join(PATH, name), 'exit 0');
  return { root: '', cache: '', env: { PATH } };
}

test('missingPackages() looks for programs, whoever has installed them', () => {
  const all = PACKAGES.map(({ program: name }) => name).filter((name) => !name.startsWith('/'));
  expect(missingPackages(context(all), new Set(['run'] as const))).toEqual([]);
  const without = all.filter((name) => name !== 'etcd');
  expect(missingPackages(context(without), new Set(['run'] as const)).map(({ name }) => name)).toEqual(['etcd-server']);
});

test('missingPackages() asks for the tools of tests and benchmarks only for them', () => {
  const names = (...purposes: ('run' | 'test' | 'bench')[]) =>
    missingPackages(context([]), new Set(purposes)).map(({ name }) => name);
  expect(names('run')).not.toContain('iperf3');
  expect(names('run', 'test')).toEqual(expect.arrayContaining(['iperf3', 'tcpdump']));
  expect(names('run', 'bench')).toContain('iperf3');
  expect(names('run', 'bench')).not.toContain('tcpdump');
});

test('planPackages() says which packages and why, before anything happens', () => {
  const plan = planPackages(context([]), new Set(['run'] as const));
  expect(plan?.what).toContain("etcd-server (etcd, flannel's store)");
});

test('planPackages() on a system without apt-get says what to install', async () => {
  await expect(planPackages(context([]), new Set(['run'] as const))?.apply()).rejects.toThrow(
    /^This system has no apt-get: install etcd, .*in Debian: etcd-server /,
  );
});

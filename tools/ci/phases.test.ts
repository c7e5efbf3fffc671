import { Phases } from './phases.ts';

describe('Phases', () => {
  let said: string[];

  beforeEach(() => {
    said = [];
    jest.spyOn(process.stderr, 'write').mockImplementation((text) => said.push(String(text).trim()) > 0);
  });

  afterEach(() => {
    jest.restoreAllMocks();
  });

  test('run() gives what the work gives, and remembers that it passed', async () => {
    const phases = new Phases(false);
    expect(await phases.run('up', async () => 42)).toBe(42);
    expect(phases.done).toEqual([{ name: 'up', outcome: 'passed', seconds: expect.any(Number) }]);
    expect(phases.failed).toBe(false);
    expect(said).toEqual(['== up', expect.stringMatching(/^up: passed \(0\.\d s\)$/)]);
  });

  test('run() says the first line of what went wrong, and keeps all of it for the report', async () => {
    const phases = new Phases(false);
    const work = async () => Promise.reject(new Error('no way\nout of here'));
    await expect(phases.run('up', work)).rejects.toThrow('no way');
    expect(phases.done).toMatchObject([{ outcome: 'failed', problem: 'no way\nout of here' }]);
    expect(phases.failed).toBe(true);
    expect(said.at(-1)).toMatch(/^up: failed \(0\.\d s\): no way$/);
  });

  test('run() folds what a phase says where the CI system can, but not how it ended', async () => {
    await new Phases(true).run('up', async () => {});
    expect(said).toEqual(['::group::up', '::endgroup::', expect.stringMatching(/^up: passed/)]);
  });
});

/** All stacks in one account and one region, side by side. */
import { makeArtifact } from './support/artifacts.ts';
import { Double } from './support/double.ts';
import { Project } from './support/project.ts';

jest.setTimeout(600_000);

const STACKS = ['dev', 'ci', 'prod'] as const;

let double: Double;
let project: Project;
/** Somebody else's, in the same account. */
let others: Project;

beforeAll(async () => {
  double = await Double.start();
  project = await Project.ofRepository(double);
  others = await Project.ofRepository(double, 'others');
});

afterAll(async () => {
  await double?.stop();
  project?.remove();
  others?.remove();
});

test("dev, ci and prod, and somebody else's dev, do not get in each other's way", async () => {
  const artifact = makeArtifact(project.directory, 'flannel', '1', 'amd64').directory;
  const etcdArtifact = makeArtifact(project.directory, 'etcd', '1', 'amd64').directory;
  for (const stack of STACKS) await project.init(stack, { artifact, etcdArtifact });
  await others.init('dev', { artifact, etcdArtifact });
  await Promise.all([...STACKS.map((stack) => project.up(stack)), others.up('dev')]);
  const failed = (await double.done()).filter(({ error }) => error !== undefined);
  expect(failed).toEqual([]);
  const tagged = (await double.resources()).filter(({ outputs }) => outputs.tagsAll !== undefined);
  const owners = tagged.map(({ urn, outputs }) => [urn, (outputs.tagsAll as Record<string, string>)['flannel:stack']]);
  for (const [urn, owner = ''] of owners) {
    const [of, stack] = owner.split('/');
    expect(urn).toMatch(new RegExp(`^urn:pulumi:${stack}::${of}::`));
  }
  await project.destroy('dev');
  for (const stack of ['ci', 'prod']) await project.up(stack, '--expect-no-changes');
  await others.up('dev', '--expect-no-changes');
  const left = (await double.resources()).filter(({ urn }) => urn.startsWith('urn:pulumi:dev::flannel::'));
  expect(left).toEqual([]);
});

/**
 * docs/aws.md says what the program does. Its generated parts are written anew by
 * `UPDATE_DOCS=1 npx jest --selectProjects unit --testPathPatterns infra/aws/docs`.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { podPool } from '@flannel-ts/flannel/addressing';
import { boundaryStatements, deployerStatements } from './deployer.ts';
import { planRules } from './security.ts';
import { drawComponents } from './testing/graph.ts';
import { recordStack } from './testing/recorded.ts';
import { committedSettings } from './testing/stack-file.ts';

const PAGE = join(__dirname, '../../docs/aws.md');

/** What stands between the marks of this name. */
function check(name: string, content: string): void {
  const page = readFileSync(PAGE, 'utf8');
  const marked = new RegExp(`(<!-- generated: ${name} -->\n)[^]*?(<!-- end of ${name} -->)`);
  expect(page).toMatch(marked);
  const current = page.replace(marked, (_, begin, end) => `${begin}${content}${end}`);
  if (process.env.UPDATE_DOCS) writeFileSync(PAGE, current);
  else expect(page).toBe(current);
}

const fenced = (language: string, text: string) => `\`\`\`${language}\n${text.trimEnd()}\n\`\`\`\n`;

describe('docs/aws.md', () => {
  test('has the graph of prod', async () => {
    const { resources } = await recordStack('prod');
    check('graph', fenced('mermaid', drawComponents(resources)));
  });

  test('has the rules of the security groups', () => {
    const { vpc, network } = committedSettings('prod');
    expect([vpc.length, podPool(network).subnetLength]).toEqual([19, 24]);
    const rules = planRules({
      backend: network.backend,
      vpcCidr: '10.64.0.0/19',
      podCidr: '10.244.0.0/16',
      internet: true,
      endpoints: true,
    });
    const rows = rules.map(({ group, direction, peer, protocol, ports, reason }) => {
      const other = 'group' in peer ? peer.group : 'range' in peer ? peer.range : 'S3';
      const what = protocol === '-1' ? 'any' : `${protocol} ${[...new Set(ports)].join('/')}`;
      return `| ${group} | ${direction === 'in' ? 'from' : 'to'} ${other} | ${what} | ${reason} |`;
    });
    check('rules', ['| group | peer | traffic | reason |', '|---|---|---|---|', ...rows, ''].join('\n'));
  });

  test('has the example', () => {
    const source = readFileSync(join(__dirname, 'example.ts'), 'utf8');
    check('example', fenced('ts', source.slice(source.indexOf('import'))));
  });

  test('has the policy of who runs it', () => {
    const document = { Version: '2012-10-17', Statement: deployerStatements() };
    check('policy', fenced('json', JSON.stringify(document, undefined, 2)));
  });

  test('has the boundary of the roles', () => {
    const document = { Version: '2012-10-17', Statement: boundaryStatements() };
    check('boundary', fenced('json', JSON.stringify(document, undefined, 2)));
  });
});

/** docs/performance.md. A function of the report alone, so that the same figures give the same page. */
import { controlPage, isOfControl } from './control/page.ts';
import { dataPlanePage, isOfDataPlane } from './dataplane/page.ts';
import { formatFigures } from './figures.ts';
import { markdownTable, round, spread } from './markdown.ts';
import type { Report, Result } from './result.ts';

export function formatMarkdown(report: Report): string {
  const { machine, kernel, flannel, date, results } = report;
  const figures = formatFigures(report);
  const dataPlane = results.filter(isOfDataPlane);
  const control = results.filter(isOfControl);
  const others = results.filter((result) => !isOfDataPlane(result) && !isOfControl(result));
  const parts = [
    `# Performance`,
    ...(figures === undefined ? [] : [`## In short\n\n${figures}`]),
    `## How to read this page

Written by \`npm run bench\` on ${date.slice(0, 10)}: ${machine}, Linux ${kernel}${flannel ? `, flannel ${flannel}` : ''}. No figure here is typed.
Medians; what is compared was measured in turns in the same run. Absolute figures are this machine's, ratios say more.

${howToRepeat(dataPlane.length > 0)}
With FLANNEL_UPSTREAM naming a build of [flannel](https://github.com/flannel-io/flannel), its own udp backend takes part.`,
  ];
  if (dataPlane.length > 0) parts.push('## Data plane', dataPlanePage(dataPlane));
  if (control.length > 0) parts.push('## Control plane', controlPage(control));
  if (others.length > 0) parts.push('## Everything else', runsTable(others));
  if (dataPlane.length > 0)
    parts.push('## Single measurements of the data plane', runsTable(dataPlane.filter(isFirst)));
  return `${parts.join('\n\n')}\n`;
}

function howToRepeat(hasDataPlane: boolean): string {
  const [only, page] = hasDataPlane ? ['dataplane', 'performance'] : ['control', 'performance-control'];
  const command = `Again, on a quiet machine: \`npm run bench -- --only ${only} --json docs/${page}.json --markdown docs/${page}.md\`.`;
  if (!hasDataPlane) return command;
  return `${command} With
\`--from FILE,FILE\` instead of measuring, the page is made of earlier figures, such as those of parts (BENCH_PARTS) measured one by one.`;
}

/** A result stands there once for each peer. */
function isFirst({ name }: Result, index: number, all: readonly Result[]): boolean {
  return !name.startsWith('Profile, ') && all.findIndex((other) => other.name === name) === index;
}

function runsTable(results: readonly Result[]): string {
  const rows = results.map(({ name, unit, value, peer, ratio, runs }) => {
    const other = peer === undefined ? ['', ''] : [`${peer.name}: ${round(peer.value)}`, round(ratio ?? Number.NaN)];
    return [name, unit, round(value), spread(runs), ...other];
  });
  return markdownTable(['what', 'unit', 'median', 'smallest to largest', 'compared with', 'ratio'], rows);
}

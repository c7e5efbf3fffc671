/** Defects of flannel, each with a test that shows how flanneld here behaves, and the page made of them. */

export interface TestName {
  /** Relative to the checkout. */
  readonly file: string;
  /** As in the source, with its placeholders: "allocates %s". Without the names of the groups around it. */
  readonly title: string;
}

export interface Comparison {
  readonly situation: string;
  /** What flannel does. */
  readonly flannel: string;
  /** Where that can be seen: issues of flannel-io/flannel, files of its source, measurements. */
  readonly source: string;
  readonly ours: string;
  readonly tests: readonly [TestName, ...TestName[]];
}

export interface Section {
  readonly title: string;
  readonly rows: readonly Comparison[];
}

export function renderPage(sections: readonly Section[]): string {
  const count = sections.reduce((sum, { rows }) => sum + rows.length, 0);
  return [
    '# Compared to flannel',
    '',
    `${count} situations in which flannel, or this project before, went wrong, and what happens here. Each row names a test that fails`,
    'when the behaviour is lost: `npm test -- FILE -t "NAME"` runs it.',
    '',
    'Where flannel is said to do something "by its source", the code was read (v0.28.9) and not run. Numbers are issues of',
    '[flannel-io/flannel](https://github.com/flannel-io/flannel/issues) unless another project is named.',
    '',
    '<!-- Generated from tools/docs/compared-to-flannel.ts: UPDATE_DOCS=1 npx jest tools/docs --selectProjects=unit -->',
    '',
    ...sections.flatMap(({ title, rows }) => [
      `## ${title}`,
      '',
      '| situation | flannel | here | test |',
      '|---|---|---|---|',
      ...rows.map(renderRow),
      '',
    ]),
  ].join('\n');
}

function renderRow({ situation, flannel, source, ours, tests }: Comparison): string {
  const names = tests.map(({ file, title }) => `[${title}](../${file})`).join('; ');
  return `| ${[situation, `${flannel} (${source})`, ours, names].map(escapeCell).join(' | ')} |`;
}

function escapeCell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ');
}

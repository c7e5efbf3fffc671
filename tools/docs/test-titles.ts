import ts from 'typescript';

/** Calls that define a test which runs: not test.skip() or test.todo(). */
const RUNNERS = new Set(['test', 'it']);
const NOT_RUN = new Set(['skip', 'todo', 'failing']);

/**
 * The titles of the tests of a file, as its source has them: placeholders of test.each() and template strings are not filled in.
 */
export function testTitles(source: string): readonly string[] {
  const file = ts.createSourceFile('file.ts', source, ts.ScriptTarget.Latest, true, ts.ScriptKind.TS);
  const titles: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node)) {
      const names = calledNames(node.expression);
      if (names.some((name) => NOT_RUN.has(name))) return; // describe.skip() with all that is in it, too
      const [title] = node.arguments;
      if (RUNNERS.has(names[0] ?? '') && title && isText(title)) titles.push(textOf(title));
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  return titles;
}

/** ["test", "each"] of `test.each(rows)`, which is itself called with the title. */
function calledNames(callee: ts.Expression): readonly string[] {
  if (ts.isIdentifier(callee)) return [callee.text];
  if (ts.isPropertyAccessExpression(callee)) return [...calledNames(callee.expression), callee.name.text];
  if (ts.isCallExpression(callee)) return calledNames(callee.expression);
  if (ts.isTaggedTemplateExpression(callee)) return calledNames(callee.tag);
  return [];
}

function isText(node: ts.Expression): node is ts.StringLiteralLike | ts.TemplateExpression {
  return ts.isStringLiteralLike(node) || ts.isTemplateExpression(node);
}

function textOf(node: ts.StringLiteralLike | ts.TemplateExpression): string {
  return ts.isStringLiteralLike(node) ? node.text : node.getText().slice(1, -1);
}

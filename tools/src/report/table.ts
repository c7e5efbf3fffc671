import { formatTable as layOut } from '@flannel-ts/daemon/operate/show/layout';

/** Rows as text, columns aligned; a block for each row where the width does not do. The first row is the heading. */
export function formatTable(
  [heading = [], ...rows]: readonly (readonly string[])[],
  width = Number.POSITIVE_INFINITY,
  indent = '  ',
): string {
  return layOut(
    heading.map((title) => ({ title })),
    rows,
    width,
    indent,
  );
}

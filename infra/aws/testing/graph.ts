/** A picture of a stack for docs/aws.md, drawn from what its program registers. */
import type { Recorded } from './recorded.ts';

/**
 * Mermaid's flowchart of the components: what is in each, and which one needs which. A component that only holds a part of
 * another is drawn as that one.
 */
export function drawComponents(resources: readonly Recorded[]): string {
  const byUrn = new Map(resources.map((each) => [each.urn, each]));
  const root = resources.find(({ type }) => type === 'flannel:aws:Environment')!;
  const top = (each: Recorded | undefined): Recorded | undefined => {
    if (each === undefined || each.parent === root.urn) return each;
    return top(byUrn.get(each.parent));
  };
  const components = resources.filter(({ parent }) => parent === root.urn).sort((a, b) => order(a.name, b.name));
  const edges = new Set<string>();
  for (const each of resources) {
    const from = top(each);
    for (const urn of each.dependencies) {
      const to = top(byUrn.get(urn));
      if (from !== undefined && to !== undefined && from !== to) edges.add(`  ${id(from)} --> ${id(to)}`);
    }
  }
  const boxes = components.map((component) => {
    const inside = resources.filter((each) => each.custom && top(each) === component);
    return `  ${id(component)}["<b>${component.name}</b> ${kind(component)}<br/>${counted(inside.map(kind))}"]`;
  });
  return ['flowchart TB', ...boxes, ...[...edges].sort(order), ''].join('\n');
}

/** Names of a node in Mermaid: letters, digits and underscores; two components of one name are of two types. */
function id({ name, type }: Recorded): string {
  return `${name}_${type.split(':').at(-1)}`.replaceAll(/\W/g, '_');
}

function kind({ type }: Recorded): string {
  return type.split(':').at(-1)!;
}

function counted(kinds: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const each of kinds) counts.set(each, (counts.get(each) ?? 0) + 1);
  return [...counts]
    .sort(([a], [b]) => order(a, b))
    .map(([each, count]) => (count === 1 ? each : `${each} ×${count}`))
    .join('<br/>');
}

/** The same everywhere, whatever the locale. */
function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** What is said after another writer has overwritten this node's lease, which is written again at once. Pure. */

export interface Contest {
  readonly trouble: string;
  readonly remedy?: string;
}

export interface Overwritten {
  readonly subnets: string;
  /** Of this node. */
  readonly address: string;
  readonly key: string;
  /** What another writer put there. */
  readonly value: string;
}

const MOST_CHARACTERS = 100;

export function describeContest(
  why: 'same address' | 'unreadable' | 'overwritten',
  { subnets, address, key, value }: Overwritten,
): Contest {
  if (why === 'same address')
    return {
      trouble: `another node writes the lease of ${subnets} with this node's public address ${address}: give each node a public address of its own (-public-ip)`,
      remedy: 'give each node a public address of its own with -public-ip',
    };
  const what = why === 'unreadable' ? 'something unreadable' : 'that of another node';
  // A part in double quotes would be taken for the command that mends it.
  const found = value.slice(0, MOST_CHARACTERS).replaceAll('"', "'");
  return {
    trouble: `the lease of ${subnets} was overwritten with ${what} (${found}) and is written again: find who writes ${key}`,
    remedy: `find who writes ${key}; this node has written its lease again`,
  };
}

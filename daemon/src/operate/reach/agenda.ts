/** What is due when: the earliest first, in a binary heap, so that each step costs O(log n). */
export interface Due<T> {
  readonly at: number;
  readonly item: T;
}

export class Agenda<T> {
  /** No entry is due before the one at (index - 1) >> 1. */
  private readonly heap: Due<T>[] = [];

  get size(): number {
    return this.heap.length;
  }

  /** The earliest, which stays. */
  get first(): Due<T> | undefined {
    return this.heap[0];
  }

  add(at: number, item: T): void {
    const due = { at, item };
    let index = this.heap.length;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (this.heap[parent]!.at <= at) break;
      this.heap[index] = this.heap[parent]!;
      index = parent;
    }
    this.heap[index] = due;
  }

  /** Removes the earliest. */
  take(): Due<T> | undefined {
    const [first] = this.heap;
    const last = this.heap.pop();
    if (first === undefined || last === undefined || this.heap.length === 0) return first;
    let index = 0;
    for (;;) {
      const left = 2 * index + 1;
      const right = left + 1;
      if (left >= this.heap.length) break;
      const child = right < this.heap.length && this.heap[right]!.at < this.heap[left]!.at ? right : left;
      if (this.heap[child]!.at >= last.at) break;
      this.heap[index] = this.heap[child]!;
      index = child;
    }
    this.heap[index] = last;
    return first;
  }
}

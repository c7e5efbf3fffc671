import * as fc from 'fast-check';
import { Agenda } from './agenda.ts';

test('Agenda gives the earliest first, whatever was added and taken before', () => {
  const step = fc.oneof(fc.integer({ min: 0, max: 50 }), fc.constant('take' as const));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const agenda = new Agenda<number>();
      const model: { at: number; item: number }[] = [];
      for (const [item, at] of steps.entries()) {
        if (at === 'take') {
          const earliest = model.length === 0 ? undefined : Math.min(...model.map((due) => due.at));
          expect(agenda.first?.at).toBe(earliest);
          const taken = agenda.take();
          expect(taken?.at).toBe(earliest);
          const index = model.findIndex((due) => due.item === taken?.item);
          if (taken !== undefined) expect(model.splice(index, 1)).toEqual([taken]);
        } else {
          agenda.add(at, item);
          model.push({ at, item });
        }
        expect(agenda.size).toBe(model.length);
      }
    }),
  );
});

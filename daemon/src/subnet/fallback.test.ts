import { withFallback } from './fallback.ts';

/** As a call to a member that accepts connections and says nothing. */
async function* frozen(): AsyncGenerator<string> {
  await new Promise(() => {});
  yield 'never';
}

async function* answering(): AsyncGenerator<string> {
  yield 'first';
  yield 'second';
}

const never = new AbortController().signal;

test('withFallback() yields the substitute of a silent source, and lets go of it at once', async () => {
  const values: string[] = [];
  const source = withFallback(
    frozen,
    () => 'kept',
    () => true,
    never,
  );
  for await (const value of source) {
    values.push(value);
    break; // waits for the generator's return()
  }
  expect(values).toEqual(['kept']);
});

test('withFallback() yields what the source has, without a substitute while it is not silent', async () => {
  const values: string[] = [];
  const source = withFallback(
    answering,
    () => 'kept',
    () => false,
    never,
  );
  for await (const value of source) values.push(value);
  expect(values).toEqual(['first', 'second']);
});

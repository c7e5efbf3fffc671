/** All of it goes to standard error: standard output belongs to the command. */
const NEWS_EVERY_MS = 15_000;
const REDRAW_EVERY_MS = 500;

/** @param {string} line */
export function say(line) {
  process.stderr.write(`${line}\n`);
}

/**
 * Runs `work` under a title, with the elapsed time: redrawn in place on a terminal, a line now and then elsewhere.
 * @template T
 * @param {string} title
 * @param {(detail: (text: string) => void) => Promise<T>} work `detail` tells what it is at
 * @param {string} [failed] the word for a failure
 * @returns {Promise<T>}
 */
export async function step(title, work, failed = 'failed') {
  const started = Date.now();
  const terminal = process.stderr.isTTY === true;
  let detail = '';
  const elapsed = () => formatElapsed(Date.now() - started);
  const draw = () => {
    const columns = (process.stderr.columns ?? 80) - 1;
    const line = `${title} ... ${elapsed()}${detail === '' ? '' : `  ${detail}`}`;
    process.stderr.write(`\r\x1b[K${line.slice(0, columns)}`);
  };
  if (terminal) draw();
  else say(`${title} ...`);
  const timer = terminal
    ? setInterval(draw, REDRAW_EVERY_MS)
    : setInterval(() => say(`  ... ${elapsed()}${detail === '' ? '' : `  ${detail}`}`), NEWS_EVERY_MS);
  /** @param {string} outcome */
  const finish = (outcome) => {
    clearInterval(timer);
    if (terminal) process.stderr.write(`\r\x1b[K`);
    say(`${title}: ${outcome} (${elapsed()})`);
  };
  try {
    const result = await work((text) => {
      detail = text;
    });
    finish('done');
    return result;
  } catch (error) {
    finish(failed);
    throw error;
  }
}

/** @param {number} ms */
export function formatElapsed(ms) {
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, '0')} s`;
}

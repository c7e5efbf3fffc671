/**
 * When whoever reads our output has enough of it, as in "npm run status | head", the command ends quietly; what it runs in the foreground
 * ends first. Node.js ignores SIGPIPE, so that listeners for it hear of it from here alone.
 */
export function endWhenUnread() {
  for (const output of [process.stdout, process.stderr]) {
    output.on('error', (/** @type {NodeJS.ErrnoException} */ error) => {
      if (error.code !== 'EPIPE') throw error;
      if (!process.emit('SIGPIPE', 'SIGPIPE')) process.exit(0);
    });
  }
}

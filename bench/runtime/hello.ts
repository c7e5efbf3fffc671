/** The least a program can do: what is left is the runtime's own start. */
process.stdout.write('{}\n');

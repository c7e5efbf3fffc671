// Unit tests stand beside their source; integration, e2e and interop tests need root and live in tests/.
const shared = {
  testEnvironment: 'node',
  extensionsToTreatAsEsm: [],
  transform: {
    '^.+\\.(ts|mts|mjs)$': [
      '@swc/jest',
      {
        jsc: { target: 'es2022', parser: { syntax: 'typescript' } },
        module: { type: 'commonjs' },
        sourceMaps: 'inline',
      },
    ],
  },
  transformIgnorePatterns: ['/node_modules/'],
  moduleFileExtensions: ['ts', 'mjs', 'js', 'cjs', 'json', 'node'],
  setupFiles: ['<rootDir>/daemon/testing/workers.ts'],
};
const unit = ['packages', 'daemon', 'cni', 'infra', 'bench', 'tools', 'examples'].map(
  (wing) => `<rootDir>/${wing}/**/*.test.{ts,mjs}`,
);

/** @type {import('jest').Config} */
export default {
  projects: [
    { ...shared, displayName: 'unit', testMatch: unit },
    ...['integration', 'kernel', 'aws', 'boot', 'e2e', 'kubernetes', 'interop'].map((kind) => ({
      ...shared,
      displayName: kind,
      testMatch: [`<rootDir>/tests/${kind}/**/*.test.ts`],
    })),
  ],
};

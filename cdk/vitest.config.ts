import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    globalSetup: ['test/synthesise.ts'],
    include: ['test/**/*.test.ts'],
    // Loading aws-cdk-lib takes seconds, and much longer on a machine that is busy.
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});

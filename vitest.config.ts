import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** `holdfast/x` means the source while testing. The list of entries is the one of package.json. */
const { exports } = JSON.parse(readFileSync(new URL('./package.json', import.meta.url), 'utf8')) as {
  exports: Record<string, { default?: string }>
}
const alias = Object.entries(exports).flatMap(([entry, { default: built }]) => {
  if (built === undefined) return []
  const source = built.replace('./dist/', './src/').replace(/\.js$/, '.ts')
  return {
    find: new RegExp(`^holdfast${entry.slice(1)}$`),
    replacement: fileURLToPath(new URL(source, import.meta.url)),
  }
})

// Drizzle's driver imports better-sqlite3, whose interface libsql has and which needs no compiler.
const withLibsql = [...alias, { find: 'better-sqlite3', replacement: 'libsql' }]

const shared = { testTimeout: 30_000, hookTimeout: 60_000, retry: 0, pool: 'forks' } as const

/** Those with processes and faults take long, whatever their size: begun last, they would be waited for alone. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const isLong = ({ moduleId }: TestSpecification): boolean => /\.(fault|e2e)\.test\.ts$/.test(moduleId)
    const sorted = await super.sort(files)
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))]
  }
}

export default defineConfig({
  test: {
    // One more than CI has cores: many of these tests wait, for a lease to run out or for a process to start.
    maxWorkers: 3,
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        resolve: { alias },
        // They are of pure code, so one may find what another has loaded: a third of their processor time was loading it again.
        test: { ...shared, name: 'unit', include: ['test/**/*.unit.test.ts'], isolate: false },
      },
      {
        resolve: { alias: withLibsql },
        test: {
          ...shared,
          name: 'systems',
          server: { deps: { inline: ['drizzle-orm'] } },
          include: ['test/**/*.{db,fault,e2e}.test.ts'],
          globalSetup: 'test/support/global-setup.ts',
        },
      },
    ],
  },
})

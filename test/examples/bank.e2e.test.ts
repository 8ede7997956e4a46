/** The bank exercise says which ways lose deposits. Run as its users run it, with fewer deposits. */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { describe, expect, inject, it } from 'vitest'
import type { Run } from '../../examples/bank/run-ways.ts'
import { startFixture } from '../support/process.ts'

const main = new URL('../../examples/bank/main.ts', import.meta.url)

interface Output {
  readonly runs: readonly Run[]
  readonly ok: boolean
}

/** Enough that two processes still overlap when one of them starts late. */
const DEPOSITS: Readonly<Record<number, number>> = { 1: 96, 2: 240 }

async function bank(...args: string[]): Promise<Output> {
  const fixture = startFixture<Output>(main, { args: [...args, '--json'], inPlace: true })
  const output = await fixture.line(() => true, { deadlineMs: 60_000 })
  expect(await fixture.exited).toEqual({ code: output.ok ? 0 : 1, signal: null })
  return output
}

const LOSES: Readonly<Record<Run['store'], Readonly<Record<number, readonly string[]>>>> = {
  sqlite: { 1: ['naive'], 2: ['mutex', 'naive'] },
  postgres: {
    1: ['begin-commit', 'for-update-raw', 'naive'],
    2: ['begin-commit', 'for-update-raw', 'mutex', 'naive'],
  },
}

describe.each(['sqlite', 'postgres'] as const)('the hot account on %s', (kind) => {
  it.each([1, 2])(
    'with %i process(es) loses deposits exactly in the ways that say so',
    { timeout: 90_000 },
    async (processes) => {
      const store = kind === 'sqlite' ? 'sqlite' : inject('postgresUrl')
      const { runs, ok } = await bank(
        '--store',
        store,
        '--processes',
        `${processes}`,
        '--deposits',
        `${DEPOSITS[processes]}`,
      )
      expect(ok).toBe(true)
      expect(runs.map((r) => r.way)).toHaveLength(9)
      const losers = runs.filter((r) => r.lost > 0).map((r) => r.way)
      expect(losers.sort()).toEqual(LOSES[kind][processes])
      for (const run of runs) expect(run.confirmed + run.refused).toBe(run.deposits)

      const refusers = runs.filter((r) => r.refused > 0).map((r) => r.way)
      expect(refusers.sort()).toEqual(
        kind === 'sqlite'
          ? ['begin-commit', 'for-update-holdfast', 'for-update-raw']
          : ['for-update-holdfast'],
      )
      const refused = runs.find((r) => r.way === 'for-update-holdfast')
      expect(refused?.refused).toBe(DEPOSITS[processes])
      expect(refused?.refusal).toMatch(/no transaction is open/)
    },
  )
})

it.each([
  [['--bad'], 64, /^bank: Unknown option '--bad': see --help\n$/],
  [['--store', 'mysql://x', '--store', 'sqlite'], 64, /^bank: --store must be sqlite, .*\n$/],
  [['--ways', 'prayer'], 64, /^bank: there is no way "prayer": choose naive, .*\n$/],
  [
    ['--store', 'postgres://127.0.0.1:1/x'],
    1,
    /^bank: PostgreSQL could not be reached \(.*ECONNREFUSED.*\)\n$/,
  ],
])('says in one sentence what is wrong with %j', (args, code, sentence) => {
  const { status, stderr } = spawnSync(process.execPath, ['--import', 'tsx', fileURLToPath(main), ...args], {
    encoding: 'utf8',
  })
  expect([status, stderr]).toEqual([code, expect.stringMatching(sentence)])
})

/** The explorer in a user's tests: the matcher in Vitest, the assertion in a file of node:test. And explicit yield points. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { explore, type RaceOptions, race, raceMatchers, yieldPoint } from '../../src/race/index.ts'
import { tempFolder } from '../support/files.ts'
import { type FreshPool, freshPool, inTransaction } from '../support/postgres.ts'

declare module 'vitest' {
  interface Matchers<T> {
    toBeSerializable(options?: RaceOptions): Promise<void>
  }
}
expect.extend(raceMatchers)

let db: FreshPool
beforeAll(async () => {
  db = await freshPool()
  await db.pool.query('create table wallet (balance int not null)')
})
afterAll(() => db.drop())

const options: RaceOptions = { remedies: false }

function withdrawals(select: string) {
  const withdraw = (amount: number) => () =>
    inTransaction(db.pool, async (client) => {
      const { rows } = await client.query(select)
      await client.query('update wallet set balance = $1', [rows[0].balance - amount])
    })
  return race('two withdrawals', {
    store: db.pool,
    setup: (on) => on.query('delete from wallet; insert into wallet values (100)'),
    tasks: { alice: withdraw(30), bob: withdraw(50) },
    options,
  })
}

describe('toBeSerializable', () => {
  it('passes where every schedule ends as a serial order', async () => {
    await expect(withdrawals('select balance from wallet for update')).toBeSerializable({ seed: 7 })
  })

  it('fails with the report, and by .not keeps a broken example broken', async () => {
    const broken = withdrawals('select balance from wallet')
    await expect(broken).not.toBeSerializable()
    await expect(expect(broken).toBeSerializable()).rejects.toThrow(/LOST UPDATE[\s\S]*--replay r1:/)
  })
})

it('assertSerializable fails a test of node:test with the report, and passes the repaired one', () => {
  const root = fileURLToPath(new URL('../..', import.meta.url))
  expect(existsSync(join(root, 'dist/race/index.js')), 'dist is built: npm run build').toBe(true)
  using folder = tempFolder('node-test')
  mkdirSync(folder.file('node_modules'))
  symlinkSync(root, folder.file('node_modules/holdfast'))
  symlinkSync(join(root, 'node_modules/pg'), folder.file('node_modules/pg'))
  writeFileSync(
    folder.file('race.test.mjs'),
    `import { after, test } from 'node:test'
     import { assertSerializable, race } from 'holdfast/race'
     import pg from 'pg'
     const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL })
     after(() => pool.end())
     const two = (update) => race('two withdrawals', {
       store: pool,
       setup: (db) => db.query('delete from wallet; insert into wallet values (100)'),
       tasks: { alice: () => update(30), bob: () => update(50) },
     })
     test('broken', () => assertSerializable(two(async (amount) => {
       const { rows } = await pool.query('select balance from wallet')
       await pool.query('update wallet set balance = $1', [rows[0].balance - amount])
     }), { remedies: false }))
     test('repaired', () => assertSerializable(two(async (amount) => {
       await pool.query('update wallet set balance = balance - $1', [amount])
     })))`,
  )
  const { NODE_OPTIONS, NODE_TEST_CONTEXT, ...env } = process.env
  const { status, stdout } = spawnSync(process.execPath, ['--test', '--test-reporter=tap', 'race.test.mjs'], {
    cwd: folder.path,
    env: { ...env, DATABASE_URL: db.url },
    encoding: 'utf8',
  })
  expect(stdout).toContain('not ok 1 - broken')
  expect(stdout).toContain('two withdrawals: LOST UPDATE')
  expect(stdout).toContain('RACE_FOUND')
  expect(stdout).toContain('\nok 2 - repaired')
  expect(status).toBe(1)
})

describe('yieldPoint', () => {
  let visits = 0
  const visit = (between: () => unknown) => async () => {
    const seen = visits
    await between()
    visits = seen + 1
    return visits
  }
  const look = (between: () => unknown) =>
    explore(
      race('visits', {
        store: db.pool,
        setup: () => {
          visits = 0
        },
        tasks: { alice: visit(between), bob: visit(between) },
        options,
      }),
    )

  it('is a place where another task may go on, and a step of the report', async () => {
    const { finding } = await look(() => yieldPoint('count the visit'))
    expect(finding?.explanation).toContain('no serial order')
    expect(finding?.steps.map(({ kind, text }) => [kind, text])).toContainEqual(['yield', 'count the visit'])
    expect(finding?.remedy).toMatch(/^no statement takes part: /)
  })

  it('without one the same code is not interleaved', async () => {
    const { finding, coverage } = await look(() => {})
    expect(finding).toBeUndefined()
    expect(coverage.exhaustive).toBe(true)
  })

  it('does nothing outside of an exploration', async () => {
    expect(await yieldPoint('nothing')).toBeUndefined()
  })
})

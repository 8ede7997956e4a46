/** The files of examples/races: five well-known races, each with another library over `pg`; found, and clean once repaired. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { explore, type Race } from '../../src/race/index.ts'
import { type FreshDatabase, freshDatabase } from '../support/postgres.ts'

interface Example {
  readonly default: readonly [broken: Race, repaired: Race]
  readonly knex?: { destroy(): Promise<unknown> }
  readonly source?: { destroy(): Promise<unknown> }
}

const examples: readonly (readonly [anomaly: string, library: string, load: () => Promise<unknown>])[] = [
  ['lost update', 'pg', () => import('../../examples/races/lost-update.ts')],
  ['write skew', 'Kysely', () => import('../../examples/races/write-skew.ts')],
  ['check-then-insert', 'Drizzle', () => import('../../examples/races/check-then-insert.ts')],
  ['deadlock', 'Knex', () => import('../../examples/races/deadlock.ts')],
  ['phantom', 'TypeORM', () => import('../../examples/races/phantom.ts')],
]

let db: FreshDatabase
const { DATABASE_URL: before } = process.env
beforeAll(async () => {
  db = await freshDatabase()
  process.env.DATABASE_URL = db.url // where the files' pools lead
})
afterAll(async () => {
  if (before === undefined) delete process.env.DATABASE_URL
  else process.env.DATABASE_URL = before
  await db.drop()
})

describe.each(examples)('%s with %s', (anomaly, _, load) => {
  let example: Example
  beforeAll(async () => {
    example = (await load()) as Example
  })
  afterAll(async () => {
    const { store } = example.default[0].definition as { store: { end(): Promise<void> } }
    await Promise.all([store.end(), example.knex?.destroy(), example.source?.destroy()])
  })

  it('is found within 50 schedules, and named', async () => {
    const { finding, coverage } = await explore(example.default[0], { remedies: false })
    expect(coverage.schedules).toBeLessThanOrEqual(50)
    expect(finding?.anomaly).toBe(anomaly)
  })

  it('is clean in every schedule once repaired', async () => {
    const { finding, coverage } = await explore(example.default[1])
    expect(finding?.explanation).toBeUndefined()
    expect(coverage.exhaustive).toBe(true)
  })
})

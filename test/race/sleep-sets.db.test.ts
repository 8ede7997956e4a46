/** Schedules that are set aside as equivalent show nothing new: the outcomes are the same without them. */
import type pg from 'pg'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { diagnose } from '../../src/race/anomaly.ts'
import { Execution } from '../../src/race/execution.ts'
import { explore, type RaceDatabase, type RaceDefinition, race } from '../../src/race/index.ts'
import { meaningOf } from '../../src/race/meaning.ts'
import { openPgGround } from '../../src/race/pg-ground.ts'
import { seeded } from '../../src/race/random.ts'
import { type Relations, readRelations } from '../../src/race/relations.ts'
import { follow, PreemptionSearch } from '../../src/race/search.ts'
import { type FreshPool, freshPool, inTransaction } from '../support/postgres.ts'

let db: FreshPool
beforeAll(async () => {
  db = await freshPool()
  await db.pool.query(`
    create table owner (id int primary key, n int not null);
    create table thing (id int primary key, n int not null);
    create table part (id serial primary key, owner int not null references owner, n int not null);
    create table log (n int not null);
    create table parent (id int primary key);
    create table child (id int primary key, parent int not null references parent on delete cascade);
    create table page (id int primary key, child int not null references child);
    create function note() returns trigger language plpgsql as 'begin insert into log values (1); return old; end';
    create trigger noted after delete on child for each row execute function note()`)
})
afterAll(() => db.drop())

const setup = (on: RaceDatabase) =>
  on.query(
    `delete from part; delete from owner; delete from thing;
     insert into owner values (1, 10), (2, 20); insert into thing values (1, 10), (2, 20)`,
  )

type Query = (text: string) => Promise<pg.QueryResult>
type Seen = { carried: number; readonly read: unknown[] }

/** What a task may do with its connection; what it reads goes into what it writes, so that order shows. */
const STATEMENTS: readonly ((query: Query, seen: Seen, id: number) => Promise<unknown>)[] = [
  ...['owner', 'thing'].flatMap((table) => [
    (query: Query, seen: Seen, id: number) => read(query, seen, `select n from ${table} where id = ${id}`),
    (query: Query, seen: Seen, id: number) =>
      read(query, seen, `select n from ${table} where id = ${id} for update`),
    (query: Query, seen: Seen, id: number) =>
      query(`update ${table} set n = n * 3 + ${seen.carried} where id = ${id}`),
    (query: Query, seen: Seen) => read(query, seen, `select sum(n)::int as n from ${table}`),
  ]),
  (query, seen, id) => query(`insert into part (owner, n) values (${id}, ${seen.carried})`),
  (query, seen) => read(query, seen, 'select count(*)::int as n from part'),
  (query, _, id) => query(`delete from owner where id = ${id}`),
]

async function read(query: Query, seen: Seen, text: string): Promise<void> {
  const { rows } = await query(text)
  seen.read.push(rows[0]?.n ?? null)
  seen.carried += rows[0]?.n ?? 0
}

/** Two tasks of up to three statements in a transaction, or three of up to two without one. */
function generate(seed: number): RaceDefinition['tasks'] {
  const random = seeded(seed)
  const below = (limit: number): number => Math.floor(random() * limit)
  const three = seed % 3 === 0
  const task = (index: number) => {
    const transaction = !three && below(4) > 0
    const steps = Array.from({ length: 1 + below(three ? 2 : 3) }, () => ({
      act: STATEMENTS[below(STATEMENTS.length)] as (typeof STATEMENTS)[0],
      id: 1 + below(2),
    }))
    return async () => {
      const seen: Seen = { carried: index + 1, read: [] }
      const all = async (query: Query): Promise<void> => {
        for (const { act, id } of steps) await act(query, seen, id)
      }
      if (transaction) await inTransaction(db.pool, (client) => all((text) => client.query(text)))
      else await all((text) => db.pool.query(text))
      return seen.read
    }
  }
  return Object.fromEntries((three ? ['a', 'b', 'c'] : ['a', 'b']).map((name, index) => [name, task(index)]))
}

interface Found {
  readonly schedules: number
  /** Outcomes, each with the anomaly that its schedule would be named. */
  readonly outcomes: ReadonlySet<string>
}

/** Every schedule of the systematic search. */
async function search(tasks: RaceDefinition['tasks'], skipEquivalent: boolean): Promise<Found> {
  const definition = race('generated', { store: db.pool, setup, tasks })
  const ground = await openPgGround(definition, 5_000)
  try {
    const execution = new Execution(definition, { seed: 1, stallMs: 5_000, spinMs: 30_000 }, ground)
    const systematic = new PreemptionSearch({ skipEquivalent })
    const outcomes = new Set<string>()
    let schedules = 0
    for (let turn = systematic.next(); turn !== undefined; turn = systematic.next()) {
      if (turn.kind !== 'prefix') continue
      const { run, outcome } = await execution.run(follow(turn.prefix.choices, String))
      schedules += 1
      outcomes.add(JSON.stringify([outcome, diagnose(run.steps, run.deadlock).anomaly === 'deadlock']))
      systematic.learn(turn.prefix, run, execution.footprints(run))
    }
    return { schedules, outcomes }
  } finally {
    await ground.end()
  }
}

/** More with HOLDFAST_SLEEP_SETS=300, for a campaign. */
const RACES = Number(process.env.HOLDFAST_SLEEP_SETS ?? 12)

it(`${RACES} generated races have the same outcomes without their equivalent schedules`, async () => {
  let [all, fewer] = [0, 0]
  for (let seed = 1; seed <= RACES; seed += 1) {
    const tasks = generate(seed)
    const [whole, reduced] = [await search(tasks, false), await search(tasks, true)]
    expect([...reduced.outcomes].sort(), `seed ${seed}`).toEqual([...whole.outcomes].sort())
    all += whole.schedules
    fewer += reduced.schedules
  }
  expect(fewer).toBeLessThan(0.8 * all)
}, 600_000)

it('a write is not understood where it cascades to a table with a trigger, nor a sequence among tables', async () => {
  const relations = (await readRelations(db.pool)) as Relations
  const kind = (text: string) => meaningOf(text, [], relations).kind
  expect(kind('delete from parent where id = 1')).toBe('opaque')
  expect(kind('delete from child where id = 1')).toBe('opaque')
  expect(kind('select n from owner, part_id_seq')).toBe('opaque')
  expect(kind('select id from parent')).toBe('access')
  // Of the table that it refers to it locks a row, and no trigger sees that.
  expect(kind('insert into page values (1, 1)')).toBe('access')
})

it('the report says how far it came', async () => {
  const tasks = {
    a: () => inTransaction(db.pool, (client) => client.query('update owner set n = 1 where id = 1')),
    b: () => inTransaction(db.pool, (client) => client.query('update thing set n = 1 where id = 1')),
  }
  const look = (skipEquivalent: boolean) =>
    explore(race('apart', { store: db.pool, setup, tasks }), { skipEquivalent })
  const [{ coverage: whole }, { coverage: reduced }] = [await look(false), await look(true)]
  expect(whole).toMatchObject({ exhaustive: true, upToEquivalence: true })
  expect(reduced).toMatchObject({ exhaustive: false, upToEquivalence: true })
  expect(reduced.schedules).toBeLessThan(whole.schedules)
})

/**
 * Two statements on one lock at the same instant, from two pools. Both wait for the row, which a third connection has
 * locked, and PostgreSQL lets them in as they came: each pair runs in both orders.
 */
import { randomUUID } from 'node:crypto'
import type { Store } from 'holdfast'
import { type LockEngine, type LockRequest, storeLocks } from 'holdfast/lock'
import { postgres } from 'holdfast/postgres'
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { StoreAt } from '../support/store-at.ts'
import { freshStore } from '../support/stores.ts'
import { until } from '../support/wait.ts'
import { passTime, request, type StoredLock, storedLock, TTL_MS } from './stored-lock.ts'

let opened: StoreAt
let other: pg.Pool
let store: Store
let a: LockEngine
let b: LockEngine
let name: string
beforeAll(async () => {
  opened = await freshStore('postgres')
  other = new pg.Pool({ connectionString: opened.at })
  other.on('error', () => {})
  store = opened.store
})
afterAll(async () => {
  await other.end()
  await opened[Symbol.asyncDispose]()
})
beforeEach(() => {
  a = storeLocks(store)
  b = storeLocks(postgres(other))
  name = randomUUID()
})

type Call = () => Promise<unknown>

/** Starts `first`, then `second` when that waits for the row; gives both answers. */
async function inOrder(first: Call, second: Call): Promise<[unknown, unknown]> {
  const blocker = await other.connect()
  try {
    await blocker.query('begin')
    await blocker.query('select from holdfast_lock where name = $1 for update', [name])
    const answers: Promise<unknown>[] = []
    for (const call of [first, second]) {
      answers.push(call())
      await until(
        async () => {
          const { rows } = await other.query(
            "select count(*)::int as n from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and query like '%holdfast_lock%'",
          )
          return rows[0].n === answers.length
        },
        { what: `${answers.length} statements that wait for the row` },
      )
    }
    await blocker.query('commit')
    return (await Promise.all(answers)) as [unknown, unknown]
  } finally {
    await blocker.query('rollback')
    blocker.release()
  }
}

const join = { wait: true }
const take = async (engine: LockEngine, asked: LockRequest): Promise<string> => {
  const answer = await engine.ask(asked, join)
  return answer.kind === 'held' ? `held ${answer.token}` : answer.kind
}

interface Meeting {
  /** What one does to whom it is (`mine`), after `before`; the other takes the lock beside it. */
  readonly what: (mine: LockRequest) => Promise<unknown>
  /** Brings the lock to where they meet; the answer of the one who has it by then. */
  readonly before: (mine: LockRequest) => Promise<unknown>
  /** Answers and row, with `mine` and `theirs` for the holders: what was asked first, and then the other. */
  readonly first: readonly [unknown, string, Omit<StoredLock, 'token'>]
  readonly second: readonly [unknown, string, Omit<StoredLock, 'token'>]
}

const columns = (...holders: string[]) => ({ place: 'columns', holders }) as const
const document = (...holders: string[]) => ({ place: 'document', holders }) as const
const hold = (mine: LockRequest) => take(a, mine)
const free = async (mine: LockRequest) => {
  await take(a, mine)
  await a.release(mine)
}

const meetings: Record<string, Meeting> = {
  'another one, for a free lock': {
    before: free,
    what: (mine) => take(a, mine),
    first: ['held 2', 'waiting', document('mine', 'theirs')],
    second: ['waiting', 'held 2', document('theirs', 'mine')],
  },
  'another one, for a lock whose lease has ended': {
    before: async () => {
      await take(a, request(name))
      await passTime(store, TTL_MS + 1)
    },
    what: (mine) => take(a, mine),
    first: ['held 2', 'waiting', document('mine', 'theirs')],
    second: ['waiting', 'held 2', document('theirs', 'mine')],
  },
  'the release by its only holder': {
    before: hold,
    what: (mine) => a.release(mine),
    first: [true, 'held 2', columns('theirs')],
    second: [true, 'waiting', document('theirs')],
  },
  'the renewal by its only holder': {
    before: hold,
    what: async (mine) => (await a.renew(mine)) !== undefined,
    first: [true, 'waiting', document('mine', 'theirs')],
    second: [true, 'waiting', document('mine', 'theirs')],
  },
  'the question of its only holder that is asked again': {
    before: hold,
    what: (mine) => take(a, mine),
    first: ['held 1', 'waiting', document('mine', 'theirs')],
    second: ['held 1', 'waiting', document('mine', 'theirs')],
  },
  'a release by force': {
    before: hold,
    what: async () => (await a.expel(name)) !== undefined,
    first: [true, 'held 2', columns('theirs')],
    second: [true, 'waiting', document('theirs')],
  },
}

describe.each(Object.entries(meetings))('a second request meets %s', (_, { before, what, first, second }) => {
  it.each(['comes after it', 'comes before it'])('and %s', async (order) => {
    const [mine, theirs] = [request(name), request(name)]
    await before(mine)
    const one = () => what(mine)
    const two = () => take(b, theirs)
    const after = order === 'comes after it'
    const answers = after ? await inOrder(one, two) : (await inOrder(two, one)).reverse()
    const { place, holders } = await storedLock(store, name)
    const names = { [mine.holder]: 'mine', [theirs.holder]: 'theirs' }
    expect([...answers, { place, holders: holders.map((holder) => names[holder] ?? holder) }]).toEqual(
      after ? first : second,
    )
    // Whoever is left has the lock, or gets it: nobody was lost.
    if (holders.includes(mine.holder)) await a.release(mine)
    expect(await take(b, theirs)).toMatch(/^held/)
    expect(await b.release(theirs)).toBe(true)
    expect(await storedLock(store, name)).toMatchObject(columns())
  })
})

it('of two that take a new name at once, one has it and the other waits', async () => {
  const [mine, theirs] = [request(name), request(name)]
  const answers = await Promise.all([take(a, mine), take(b, theirs)])
  expect(answers.sort()).toEqual(['held 1', 'waiting'])
  expect(await storedLock(store, name)).toMatchObject({ place: 'document', token: 2n })
})

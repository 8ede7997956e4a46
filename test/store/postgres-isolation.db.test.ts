import { type Isolation, type OwnTransaction, type Store, sql } from 'holdfast'
import { postgres } from 'holdfast/postgres'
import { migrate, storeTables } from 'holdfast/store'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type FreshPool, freshPool } from '../support/postgres.ts'

let database: FreshPool
let store: Store
beforeAll(async () => {
  database = await freshPool()
  store = postgres(database.pool)
  await store.execute('create table account (id text primary key, balance bigint not null)')
})
afterAll(() => database.drop())
beforeEach(async () => {
  await store.execute('truncate account')
  await store.execute(`insert into account values ('a', 100), ('b', 100)`)
})

const balances = async (): Promise<Record<string, number>> => {
  const rows = await store.query<{ id: string; balance: string }>('select id, balance from account')
  return Object.fromEntries(rows.map((row) => [row.id, Number(row.balance)]))
}
const read = async (tx: OwnTransaction, id: string): Promise<number> => {
  const [row] = await tx.query<{ balance: string }>(sql`select balance from account where id = ${id}`)
  return Number(row?.balance)
}
const write = (tx: OwnTransaction, id: string, balance: number): Promise<number> =>
  tx.execute(sql`update account set balance = ${balance} where id = ${id}`)

/** Both transactions read before either writes; the second writes after the first has committed. */
async function race(
  isolation: Isolation,
  work: (tx: OwnTransaction, who: 0 | 1, bothRead: () => Promise<void>) => Promise<void>,
): Promise<PromiseSettledResult<void>[]> {
  let arrived = 0
  let open!: () => void
  const gate = new Promise<void>((resolve) => {
    open = resolve
  })
  const bothRead = async (): Promise<void> => {
    if (++arrived === 2) open()
    await gate
  }
  const first = store.transaction((tx) => work(tx, 0, bothRead), { isolation, retries: 0 })
  const second = store.transaction(
    (tx) =>
      work(tx, 1, async () => {
        await bothRead()
        await first
      }),
    { isolation, retries: 0 },
  )
  return Promise.allSettled([first, second])
}

const withdraw = (tx: OwnTransaction, bothRead: () => Promise<void>): Promise<void> =>
  read(tx, 'a').then(async (balance) => {
    await bothRead()
    await write(tx, 'a', balance - 30)
  })

/** The rule "a + b >= 100" is checked by each against what it read; each takes from its own account. */
const withdrawIfCovered = async (
  tx: OwnTransaction,
  who: 0 | 1,
  bothRead: () => Promise<void>,
): Promise<void> => {
  const sum = (await read(tx, 'a')) + (await read(tx, 'b'))
  await bothRead()
  if (sum - 100 >= 100) await write(tx, who === 0 ? 'a' : 'b', 0)
}

describe('isolation levels of PostgreSQL', () => {
  it('the default is read committed', async () => {
    expect(await store.query('show transaction_isolation')).toEqual([
      { transaction_isolation: 'read committed' },
    ])
  })

  it.each<[Isolation]>([['read-committed'], ['repeatable-read'], ['serializable']])(
    '%s is what the server is told, read-only too',
    async (isolation) => {
      const rows = await store.transaction(
        (tx) =>
          tx.query(
            `select current_setting('transaction_isolation') as level, current_setting('transaction_read_only') as ro`,
          ),
        { isolation, readOnly: true },
      )
      expect(rows).toEqual([{ level: isolation.replace('-', ' '), ro: 'on' }])
    },
  )

  it('read committed: the lost update happens', async () => {
    const ends = await race('read-committed', (tx, _who, bothRead) => withdraw(tx, bothRead))
    expect(ends.map((end) => end.status)).toEqual(['fulfilled', 'fulfilled'])
    expect((await balances()).a).toBe(70) // two withdrawals of 30, one is lost
  })

  it('repeatable read refuses the lost update, and a retry applies both', async () => {
    const ends = await race('repeatable-read', (tx, _who, bothRead) => withdraw(tx, bothRead))
    expect(ends[0]?.status).toBe('fulfilled')
    expect(ends[1]).toMatchObject({ reason: { code: 'SERIALIZATION_FAILURE', outcome: 'not-applied' } })
    expect((await balances()).a).toBe(70)

    await Promise.all(
      Array.from({ length: 4 }, () =>
        store.transaction((tx) => withdraw(tx, async () => {}), {
          isolation: 'repeatable-read',
          retries: 50,
        }),
      ),
    )
    expect((await balances()).a).toBe(70 - 120)
  })

  it('repeatable read: write skew happens', async () => {
    const ends = await race('repeatable-read', withdrawIfCovered)
    expect(ends.map((end) => end.status)).toEqual(['fulfilled', 'fulfilled'])
    expect(await balances()).toEqual({ a: 0, b: 0 })
  })

  it('serializable refuses write skew', async () => {
    const ends = await race('serializable', withdrawIfCovered)
    expect(ends[0]?.status).toBe('fulfilled')
    expect(ends[1]).toMatchObject({ reason: { code: 'SERIALIZATION_FAILURE', outcome: 'not-applied' } })
    const { a = 0, b = 0 } = await balances()
    expect(a + b).toBe(100)
  })

  it('migrate by many at once does the work once, whatever level the database has by default', async () => {
    const strict = await freshPool({ options: '-c default_transaction_isolation=serializable' })
    try {
      const done = await Promise.all(
        Array.from({ length: 6 }, () => migrate(postgres(strict.pool), [storeTables])),
      )
      expect(done.flat()).toHaveLength(1)
    } finally {
      await strict.drop()
    }
  })

  it('a serialization failure gives its connection back to the pool', async () => {
    const before = database.pool.totalCount
    await race('serializable', withdrawIfCovered)
    expect(database.pool.totalCount).toBeGreaterThanOrEqual(Math.min(before, 2))
    expect(database.pool.idleCount).toBe(database.pool.totalCount)
  })
})

/**
 * Ways to add one to an account. Each is what one request does; sixteen clients do it at once.
 * They differ in nothing but what keeps two requests apart.
 */
import { sql } from 'holdfast'
import { mergeVersioned } from 'holdfast/version'
import { type Bank, type RawAccount, TABLE } from './bank.ts'

export interface Client {
  readonly bank: Bank
  readonly raw: RawAccount
  /** Runs one at a time within this process. */
  readonly mutex: <T>(work: () => Promise<T>) => Promise<T>
}

export interface Way {
  readonly name: string
  readonly title: string
  /** Whether no confirmed deposit may be lost, given the store and the number of processes. */
  keeps(kind: Bank['kind'], processes: number): boolean
  /** One deposit. Fulfilled: confirmed to the customer. Rejected: refused, the customer knows. */
  deposit(client: Client): Promise<void>
}

const always = (): boolean => true
const never = (): boolean => false
const account = sql.ident(TABLE)
/** Retried until it works; the bounds are far above what sixteen clients need. */
const PATIENT = { retries: 1000, timeoutMs: 60_000 }

/** Where a real service asks something else: a limit, a rate, another service. */
async function newBalance(balance: number): Promise<number> {
  await new Promise((resolve) => setImmediate(resolve))
  return balance + 1
}

export const ways: readonly Way[] = [
  {
    name: 'naive',
    title: 'read, add, write',
    keeps: never,
    async deposit({ raw }) {
      await raw.write(await newBalance(await raw.read()))
    },
  },
  {
    name: 'begin-commit',
    title: 'the same between BEGIN and COMMIT',
    // SQLite refuses the second writer of a snapshot. PostgreSQL, at its default isolation, lets it overwrite.
    keeps: (kind) => kind === 'sqlite',
    async deposit({ raw }) {
      await raw.begin()
      try {
        await raw.write(await newBalance(await raw.read()))
        await raw.commit()
      } catch (error) {
        await raw.rollback()
        throw error
      }
    },
  },
  {
    name: 'mutex',
    title: 'mutex of the process',
    keeps: (_, processes) => processes === 1,
    async deposit({ raw, mutex }) {
      await mutex(async () => raw.write(await newBalance(await raw.read())))
    },
  },
  {
    name: 'row-lock',
    title: 'row lock',
    keeps: always,
    async deposit({ bank }) {
      await bank.store.transaction(async (tx) => {
        const [row] = await tx.lockRows<{ balance: number }>(TABLE, { id: 1 })
        const balance = await newBalance(row?.balance as number)
        await tx.execute(sql`update ${account} set balance = ${balance} where id = 1`)
      }, PATIENT)
    },
  },
  {
    name: 'version',
    title: 'version column, with retry',
    keeps: always,
    async deposit({ bank }) {
      await mergeVersioned<{ balance: number }>(
        bank.store,
        TABLE,
        { id: 1 },
        async (row) => ({ balance: await newBalance(row.balance) }),
        { attemptsMax: 1000 },
      )
    },
  },
  {
    name: 'serializable',
    title: 'serializable, with retry',
    keeps: always,
    async deposit({ bank }) {
      await bank.store.transaction(
        async (tx) => {
          const [row] = await tx.query<{ balance: number }>(sql`select balance from ${account} where id = 1`)
          const balance = await newBalance(row?.balance as number)
          await tx.execute(sql`update ${account} set balance = ${balance} where id = 1`)
        },
        { ...PATIENT, isolation: 'serializable' },
      )
    },
  },
  {
    name: 'atomic',
    title: 'one UPDATE',
    keeps: always,
    async deposit({ bank }) {
      await bank.store.transaction(
        (tx) => tx.execute(sql`update ${account} set balance = balance + 1 where id = 1`),
        PATIENT,
      )
    },
  },
  {
    name: 'for-update-raw',
    title: 'FOR UPDATE outside a transaction, SQL',
    // The lock ends with the statement that took it. SQLite does not know the words.
    keeps: (kind) => kind === 'sqlite',
    async deposit({ raw }) {
      await raw.write(await newBalance(await raw.readForUpdate()))
    },
  },
  {
    name: 'for-update-holdfast',
    title: 'FOR UPDATE outside a transaction, Holdfast',
    keeps: always,
    async deposit({ bank, raw }) {
      await bank.store.lockRows(TABLE, { id: 1 }) // refused: no transaction is open
      await raw.write(await newBalance(await raw.read()))
    },
  },
]

/** One account in a real database: through Holdfast's store, and through the bare driver as it is used without. */
import { type PgPoolLike, postgres } from 'holdfast/postgres'
import { type SqliteDatabaseLike, sqlite } from 'holdfast/sqlite'
import type { Store } from 'holdfast/store'

export type Address =
  | { readonly kind: 'sqlite'; readonly path: string }
  | { readonly kind: 'postgres'; readonly url: string }

export const TABLE = 'holdfast_example_account'

/** The account as plain SQL sees it, one connection per client. */
export interface RawAccount {
  read(): Promise<number>
  /** `select … for update`, which SQLite does not have. */
  readForUpdate(): Promise<number>
  write(balance: number): Promise<void>
  begin(): Promise<void>
  commit(): Promise<void>
  rollback(): Promise<void>
}

export interface Bank {
  readonly kind: Address['kind']
  readonly store: Store
  connect(): Promise<RawAccount>
  close(): Promise<void>
}

export async function openBank(address: Address, clients: number): Promise<Bank> {
  return address.kind === 'sqlite' ? openSqlite(address.path) : openPostgres(address.url, clients)
}

/** Makes the account, or empties it. */
export async function createAccount({ store }: Bank): Promise<void> {
  await store.execute(
    `create table if not exists ${TABLE} (id integer primary key, balance integer not null, version bigint not null)`,
  )
  await store.execute(`delete from ${TABLE}`)
  await store.execute(`insert into ${TABLE} (id, balance, version) values (1, 0, 1)`)
}

export async function balanceOf({ store }: Bank): Promise<number> {
  const [row] = await store.query<{ balance: number }>(`select balance from ${TABLE} where id = 1`)
  return row?.balance ?? Number.NaN
}

export async function removeAccount({ store }: Bank): Promise<void> {
  await store.execute(`drop table ${TABLE}`)
}

async function openSqlite(path: string): Promise<Bank> {
  const open = await loadSqlite()
  const store = sqlite({ open: () => open(path) })
  await store.query('select 1') // the first connection switches the file to WAL
  const handles: SqliteDatabaseLike[] = []
  return {
    kind: 'sqlite',
    store,
    async connect() {
      const db = open(path)
      handles.push(db)
      // The driver's own waiting, as most people set it. A transaction cannot use it, see `begin`.
      const patient = (): void => void db.exec('pragma busy_timeout = 5000')
      patient()
      db.exec('pragma synchronous = full')
      const read = db.prepare(`select balance from ${TABLE} where id = 1`)
      return {
        read: async () => Number((read.all()[0] as { balance: number }).balance),
        readForUpdate: async () => {
          db.prepare(`select balance from ${TABLE} where id = 1 for update`)
          throw new Error('unreachable: SQLite has no FOR UPDATE')
        },
        // Not prepared: a prepared statement of libsql that was refused as busy keeps its old snapshot open, and every
        // later read of the connection then sees yesterday's balance.
        write: async (balance) =>
          void db.exec(`update ${TABLE} set balance = ${Math.trunc(balance)} where id = 1`),
        begin: async () => {
          // Waiting would freeze this process, and with it the other client that is being waited for.
          db.exec('pragma busy_timeout = 0')
          db.exec('begin')
        },
        commit: async () => {
          db.exec('commit')
          patient()
        },
        rollback: async () => {
          if (db.inTransaction ?? db.isTransaction) db.exec('rollback')
          patient()
        },
      }
    },
    async close() {
      for (const db of handles) db.close()
      await store.close()
    },
  }
}

async function openPostgres(url: string, clients: number): Promise<Bank> {
  const { default: pg } = await import('pg')
  const pool = new pg.Pool({ connectionString: url, max: clients })
  const rawPool = new pg.Pool({ connectionString: url, max: clients })
  for (const p of [pool, rawPool]) p.on('error', () => {})
  const connected: { release(): void }[] = []
  const read = `select balance from ${TABLE} where id = 1`
  return {
    kind: 'postgres',
    store: postgres(pool as PgPoolLike),
    async connect() {
      const client = await rawPool.connect()
      connected.push(client)
      return {
        read: async () => (await client.query(read)).rows[0].balance as number,
        readForUpdate: async () => (await client.query(`${read} for update`)).rows[0].balance as number,
        write: async (balance) => {
          await client.query(`update ${TABLE} set balance = $1 where id = 1`, [balance])
        },
        begin: async () => void (await client.query('begin')),
        commit: async () => void (await client.query('commit')),
        rollback: async () => void (await client.query('rollback')),
      }
    },
    async close() {
      for (const client of connected) client.release()
      await Promise.all([pool.end(), rawPool.end()])
    },
  }
}

/** The SQLite of Node 22.13 and later, else libsql. One process uses one library only. */
async function loadSqlite(): Promise<(path: string) => SqliteDatabaseLike> {
  const { emitWarning } = process
  process.emitWarning = () => {} // "SQLite is an experimental feature"
  const builtin = process.getBuiltinModule?.('node:sqlite' as never) as
    | { readonly DatabaseSync: new (path: string) => SqliteDatabaseLike }
    | undefined
  process.emitWarning = emitWarning
  if (builtin !== undefined) return (path) => new builtin.DatabaseSync(path)
  const { default: Database } = await import('libsql')
  return (path) => new Database(path) as SqliteDatabaseLike
}

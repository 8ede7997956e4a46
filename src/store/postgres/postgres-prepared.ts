import type { PreparedEnd, PreparedEngine, PreparedTransaction } from '../prepared.ts'
import { Late, within } from '../within.ts'
import type { PgClientLike, PgPoolLike, PgResultLike } from './postgres-client.ts'
import { translatePostgresError } from './postgres-errors.ts'

/** How long the search for a proxy waits for a second connection: a pool of one has none to give. */
const SECOND_CONNECTION_MS = 1_000

/**
 * Prepared transactions on connections of their own, straight from the pool: its last connection is not spoken for by
 * transactions that may be waiting for the locks which are to be released here.
 */
export function postgresPrepared(pool: PgPoolLike, prefix: string): PreparedEngine {
  const withClient = async <T>(
    signal: AbortSignal,
    use: (client: PgClientLike) => Promise<T>,
  ): Promise<T> => {
    let client: PgClientLike
    try {
      client = await pool.connect()
    } catch (error) {
      throw translatePostgresError(error, 'connect', prefix)
    }
    if (signal.aborted) {
      client.release()
      throw signal.reason
    }
    let released = false
    const release = (broken: boolean): void => {
      if (released) return
      released = true
      client.release(broken)
    }
    // What is not answered in time leaves its connection in an unknown state.
    const onAbort = (): void => release(true)
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      const result = await use(client)
      release(false)
      return result
    } catch (error) {
      const translated = translatePostgresError(error, 'commit', prefix)
      release((translated as { code?: string }).code === 'STORE_UNAVAILABLE')
      throw translated
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }
  return {
    end: (gid, how, signal) => withClient(signal, (client) => endWhenFree(client, gid, how, signal)),
    list: (like, signal) => withClient(signal, (client) => listPrepared(client, like)),
    obstacles: (signal) =>
      withClient(signal, async (client) => [
        ...(await limitObstacles(client)),
        ...(await proxyObstacles(client, pool)),
      ]),
  }
}

/**
 * Only its owner (or a superuser), in its own database, may end a prepared transaction, and outside of a transaction.
 * 42704 says that there is none of that name, which the second of two who end it is told.
 * @see PostgreSQL manual, COMMIT PREPARED
 */
export async function endPrepared(
  client: PgClientLike,
  gid: string,
  how: 'commit' | 'rollback',
): Promise<PreparedEnd> {
  try {
    await client.query(`${how} prepared '${gid}'`)
    return 'done'
  } catch (error) {
    if ((error as { code?: string }).code === '42704') return 'absent'
    throw error
  }
}

/** 55000 says that another session is ending it at this moment: waits for that one, as for a lock. */
async function endWhenFree(
  client: PgClientLike,
  gid: string,
  how: 'commit' | 'rollback',
  signal: AbortSignal,
): Promise<PreparedEnd> {
  for (;;) {
    try {
      return await endPrepared(client, gid, how)
    } catch (error) {
      if ((error as { code?: string }).code !== '55000' || signal.aborted) throw error
      await client.query('select pg_sleep(0.02)')
    }
  }
}

/** A transaction of another database or another role is none of ours, even if its name says so. */
async function listPrepared(client: PgClientLike, prefix: string): Promise<PreparedTransaction[]> {
  const { rows } = (await client.query(
    `select gid, greatest(0, extract(epoch from clock_timestamp() - prepared) * 1000)::float8 as age_ms
       from pg_prepared_xacts
      where database = current_database() and owner = current_user and starts_with(gid, $1)
      order by prepared`,
    [prefix],
  )) as PgResultLike
  return (rows as { gid: string; age_ms: number }[]).map((row) => ({ gid: row.gid, ageMs: row.age_ms }))
}

async function limitObstacles(client: PgClientLike): Promise<string[]> {
  const { rows } = (await client.query(
    "select current_setting('max_prepared_transactions')::int as max, pg_is_in_recovery() as standby",
  )) as PgResultLike
  const [row] = rows as { max: number; standby: boolean }[]
  return [
    ...(row?.max === 0
      ? [
          'the server takes no prepared transactions (max_prepared_transactions = 0): set it to at least max_connections in postgresql.conf, and restart the server',
        ]
      : []),
    ...(row?.standby ? ['this server is a standby and takes no writes: connect to the primary'] : []),
  ]
}

/**
 * A proxy that pools by transaction may lead COMMIT PREPARED, and whatever sets up the connection, to another server than
 * the one that prepared. It is found by asking one connection twice which process serves it, the second time while
 * another connection keeps a transaction open. A connection that goes straight to its server is not suspected.
 */
async function proxyObstacles(client: PgClientLike, pool: PgPoolLike): Promise<string[]> {
  const first = await backend(client)
  if (client.processID === undefined || client.processID === first) return []
  const connecting = pool.connect()
  const other = await within(SECOND_CONNECTION_MS, connecting).catch((error: unknown) => {
    if (!(error instanceof Late)) throw error
  })
  if (other === undefined) {
    connecting.then((late) => late.release()).catch(() => {})
    return []
  }
  try {
    await other.query('begin')
    await backend(other)
    const second = await backend(client)
    await other.query('rollback')
    other.release()
    if (second === first) return []
  } catch (error) {
    other.release(true)
    throw error
  }
  return [
    'a proxy that pools by transaction stands before the server: connect to the server itself, or to a proxy that pools by session',
  ]
}

async function backend(client: PgClientLike): Promise<number> {
  const { rows } = (await client.query('select pg_backend_pid() as pid')) as PgResultLike
  return (rows[0] as { pid: number }).pid
}

import type { PgPool } from '../open-store.ts'
import { type Finding, note, ok, warning } from './finding.ts'

export interface ProxyFacts {
  /** The process that the connection itself was told about when it was made. */
  readonly announced: number | undefined
  /** The process that ran a statement on that connection. */
  readonly first: number
  /** The process that ran the next statement there, while another connection held a transaction open. */
  readonly second: number
}

/**
 * Asks one connection twice which server process serves it, the second time while another connection keeps a
 * transaction open. A proxy that pools by transaction gives the process that was free again to the transaction, and
 * another one to the second question.
 */
export async function readProxyFacts(pool: PgPool): Promise<ProxyFacts> {
  const one = await pool.connect()
  try {
    const first = await backend(one)
    const other = await pool.connect()
    try {
      await other.query('begin')
      await backend(other)
      const second = await backend(one)
      await other.query('rollback')
      return { announced: one.processID, first, second }
    } finally {
      other.release()
    }
  } finally {
    one.release()
  }
}

/** Pure. */
export function judgeProxy({ announced, first, second }: ProxyFacts): Finding {
  if (first !== second) {
    return warning(
      'proxy',
      'a proxy that pools by transaction stands before the server',
      'prepared statements may break there: open the store with postgres(pool, { prepare: false }), and set timeouts on the role rather than on the connection',
    )
  }
  if (announced !== undefined && announced !== first) {
    return note(
      'proxy',
      'a proxy stands before the server; it did not pool by transaction just now',
      'if it is set to pool by transaction, open the store with postgres(pool, { prepare: false })',
    )
  }
  return ok('proxy', 'the connection goes straight to the server')
}

async function backend(client: Awaited<ReturnType<PgPool['connect']>>): Promise<number> {
  const { rows } = await client.query('select pg_backend_pid() as pid')
  return (rows[0] as { pid: number }).pid
}

import { readFileSync } from 'node:fs'
import type pg from 'pg'
import type { Sample } from './report.ts'

interface Counts {
  readonly flights: number
  readonly statements: number
  /** CPU of the server's processes behind these connections, in microseconds. NaN where it cannot be read. */
  readonly serverCpuUs: number
}

/**
 * Counts what the connections of a pool that are made from now on exchange with the server: a flight ends when the server
 * is ready for the next one; BEGIN and COMMIT are statements too.
 */
export function countFlights(pool: pg.Pool): () => Counts {
  let flights = 0
  let statements = 0
  const pids: number[] = []
  pool.on('connect', (client) => {
    const { connection, processID } = client as unknown as {
      connection: NodeJS.EventEmitter
      processID: number
    }
    pids.push(processID)
    connection.on('readyForQuery', () => flights++)
    connection.on('commandComplete', () => statements++)
  })
  return () => ({ flights, statements, serverCpuUs: pids.reduce((sum, pid) => sum + cpuUsOf(pid), 0) })
}

/** Of a server process of this machine, where the kernel tells (Linux): the first figure is nanoseconds on a processor. */
function cpuUsOf(pid: number): number {
  try {
    if (!readFileSync(`/proc/${pid}/comm`, 'utf8').startsWith('postgres')) return Number.NaN
    return Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[0]) / 1000
  } catch {
    return Number.NaN
  }
}

/**
 * What one call of each way costs apart from time: flights, statements, bytes of WAL, and CPU of this process and of the
 * server's. Of these, only CPU depends on the machine. Nothing else may use the server or the pool meanwhile.
 */
export async function sampleCosts(
  ways: Readonly<Record<string, () => Promise<unknown>>>,
  { pool, counts, name }: { pool: pg.Pool; counts: () => Counts; name: string },
  { clients, calls }: { clients: number; calls: number },
): Promise<Sample[]> {
  const samples: Sample[] = []
  const run = async (way: () => Promise<unknown>): Promise<void> => {
    let left = calls
    const client = async () => {
      while (left-- > 0) await way()
    }
    await Promise.all(Array.from({ length: clients }, client))
  }
  for (const [system, way] of Object.entries(ways)) {
    // A page's first change after a checkpoint is written whole: most pages have had theirs when counting begins.
    await pool.query('checkpoint')
    await run(way)
    const walBefore = await walBytes(pool)
    const before = counts()
    const cpuBefore = process.cpuUsage()
    await run(way)
    const cpu = process.cpuUsage(cpuBefore)
    const after = counts()
    const wal = (await walBytes(pool)) - walBefore
    const costs = {
      flights: (after.flights - before.flights) / calls,
      statements: (after.statements - before.statements) / calls,
      'bytes of WAL': wal / calls,
      'µs of CPU, client': (cpu.user + cpu.system) / calls,
      'µs of CPU, server': (after.serverCpuUs - before.serverCpuUs) / calls,
    }
    for (const [unit, value] of Object.entries(costs))
      if (!Number.isNaN(value)) samples.push({ system, metric: `${name}: ${unit}`, unit, value })
  }
  return samples
}

/** What the server has written ahead so far. */
export async function walBytes(pool: pg.Pool): Promise<number> {
  const { rows } = await pool.query("select (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::float8 as bytes")
  return rows[0].bytes
}

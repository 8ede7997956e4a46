import { record } from 'holdfast/history'
import { perSecond } from '../lib/clients.ts'
import { atMost, type BenchTarget, median, type Sample } from '../lib/report.ts'
import { openPool, startServer } from '../lib/server.ts'
import type { BenchOptions } from '../main.ts'

const CLIENTS = 8
const ROWS = 1000
const METRIC = 'recording: read, write and commit'
const CPU = 'recording: processor time of this process'

/**
 * What recording costs: transactions that lock, read and write one row, on a server with default durability, with and
 * without it in turn. The server and other programs make transactions a second drift, so the time that this process
 * itself takes for a transaction is measured, too.
 */
export async function measureRecording(
  options: BenchOptions,
): Promise<{ samples: Sample[]; targets: BenchTarget[] }> {
  const samples: Sample[] = []
  if (options.only !== undefined && !METRIC.includes(options.only)) return { samples, targets: [] }
  const server = await startServer()
  const pool = openPool(server.url, CLIENTS)
  try {
    await pool.query('create table recorded (id int primary key, balance int, version int)')
    await pool.query(`insert into recorded select n, 0, 0 from generate_series(1, ${ROWS}) n`)
    const durationMs = 3000 * options.scale
    await perSecond(CLIENTS, durationMs / 3, transact)
    const overheads: number[] = []
    for (let round = 0; round < options.rounds * 2; round++) {
      const reached: Record<string, number> = {}
      // Turn and turn about, so that neither always comes first.
      for (const recorded of round % 2 === 0 ? [false, true] : [true, false]) {
        const system = recorded ? 'recorded' : 'bare pg'
        const recording = recorded ? await record(pool, { versions: { recorded: 'version' } }) : undefined
        const before = process.cpuUsage()
        const value = await perSecond(CLIENTS, durationMs, transact)
        const { user, system: kernel } = process.cpuUsage(before)
        const events = recording?.events().length
        recording?.stop()
        if (events === 0) throw new Error('nothing was recorded')
        reached[system] = value
        samples.push({ system, metric: METRIC, unit: '/s', value })
        const micros = (user + kernel) / (value * (durationMs / 1000))
        samples.push({ system, metric: CPU, unit: 'µs each', value: micros })
        options.progress(`${METRIC}, ${system}: ${value.toFixed(0)}/s, ${micros.toFixed(0)} µs`)
      }
      overheads.push(((reached['bare pg'] as number) / (reached.recorded as number) - 1) * 100)
    }
    return { samples, targets: [atMost('check.recordOverheadPercent', median(overheads), 5)] }
  } finally {
    await pool.query('drop table if exists recorded')
    await pool.end()
    await server.stop()
  }

  async function transact(client: number, n: number): Promise<void> {
    const connection = await pool.connect()
    try {
      const id = 1 + ((client * 125 + n) % ROWS)
      await connection.query('begin')
      await connection.query('select id, balance, version from recorded where id = $1 for update', [id])
      await connection.query(
        'update recorded set balance = balance + 1, version = version + 1 where id = $1 returning id, version',
        [id],
      )
      await connection.query('commit')
    } finally {
      connection.release()
    }
  }
}

import { migrate, sql } from 'holdfast'
import { postgres } from 'holdfast/postgres'
import { createTwoPhase, twoPhaseTables } from 'holdfast/two-phase'
import type pg from 'pg'
import { sampleOneAndMany } from '../lib/clients.ts'
import { atLeast, pairedRatio, type Sample, toRows } from '../lib/report.ts'
import { openPool, withDatabase } from '../lib/server.ts'
import type { Bench } from '../main.ts'

/**
 * Two-phase commit over two databases of one server, one row in each: by hand, with the decision logged durably in a
 * commit of its own and removed a hundred at a time, and with Holdfast, the log in a database of its own and in the
 * first participant.
 */
export const bench: Bench = {
  async run({ serverUrl, rounds, scale, only, progress }) {
    const samples: Sample[] = []
    for (let round = 1; round <= rounds; round++) {
      await withDatabase(serverUrl, (a) =>
        withDatabase(serverUrl, (b) => withDatabase(serverUrl, (c) => measure(a, b, c, round))),
      )
    }

    async function measure(a: string, b: string, c: string, round: number): Promise<void> {
      const pools = [a, b, c].map((url) => openPool(url, 17)) as [pg.Pool, pg.Pool, pg.Pool]
      const [orders, payments, log] = pools.map((pool) => postgres(pool)) as [
        ReturnType<typeof postgres>,
        ReturnType<typeof postgres>,
        ReturnType<typeof postgres>,
      ]
      for (const pool of pools.slice(0, 2))
        await pool.query('create table moved (id text primary key, v text)')
      await migrate(log, [twoPhaseTables])
      await migrate(orders, [twoPhaseTables])
      await pools[2].query('create table decision (id text primary key, decision text not null)')
      const apart = createTwoPhase(log, { participants: { orders, payments } })
      const inside = createTwoPhase(orders, { participants: { orders, payments } })
      let n = 0
      const insert = (id: string) => sql`insert into moved (id, v) values (${id}, 'x')`
      const holdfast = (twoPhase: typeof apart) => () => {
        const id = `${round}-${n++}`
        return twoPhase([orders, payments], ([o, p]) =>
          Promise.all([o.execute(insert(id)), p.execute(insert(id))]),
        )
      }
      const ways: Record<string, () => Promise<unknown>> = {
        'by hand': byHand(pools, () => `${round}-${n++}`),
        'holdfast, log apart': holdfast(apart),
        'holdfast, log in a participant': holdfast(inside),
      }
      const tell = (text: string) => progress(`round ${round}: ${text}`)
      const measured = { name: 'two-phase', unit: 'transactions/s', only }
      samples.push(...(await sampleOneAndMany(ways, measured, { turns: 6, durationMs: 4_000 * scale }, tell)))
      await apart.close()
      await inside.close()
      await Promise.all(pools.map((pool) => pool.end()))
    }

    const ratio = (system: string, clients: number): number =>
      pairedRatio(samples, `two-phase, ${clients} at a time`, system, 'by hand')
    return {
      bench: 'two-phase',
      rows: toRows(samples),
      targets: [
        atLeast('twoPhase.vsControl', ratio('holdfast, log in a participant', 16), 0.85),
        atLeast('twoPhase.vsControl1', ratio('holdfast, log in a participant', 1), 0.85),
        atLeast('twoPhase.apart.vsControl', ratio('holdfast, log apart', 16), 0.85),
        atLeast('twoPhase.apart.vsControl1', ratio('holdfast, log apart', 1), 0.85),
      ],
    }
  },
}

/** What one would write: both prepare at the same time, the decision is committed, both commit at the same time. */
function byHand(
  [orders, payments, log]: [pg.Pool, pg.Pool, pg.Pool],
  newId: () => string,
): () => Promise<void> {
  const done: string[] = []
  return async () => {
    const id = newId()
    const clients = await Promise.all([orders.connect(), payments.connect()])
    await Promise.all(
      clients.map(async (client, i) => {
        await client.query('begin')
        await client.query({
          name: 'moved',
          text: 'insert into moved (id, v) values ($1, $2)',
          values: [id, 'x'],
        })
        await client.query(`prepare transaction 'hand:${id}:${i}'`)
      }),
    )
    await log.query({
      name: 'decide',
      text: "insert into decision (id, decision) values ($1, 'commit')",
      values: [id],
    })
    await Promise.all(clients.map((client, i) => client.query(`commit prepared 'hand:${id}:${i}'`)))
    for (const client of clients) client.release()
    done.push(id)
    if (done.length >= 100) await log.query('delete from decision where id = any($1)', [done.splice(0)])
  }
}

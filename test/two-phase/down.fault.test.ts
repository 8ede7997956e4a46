/** A participant, or the log, goes away at each phase and comes back later. */
import { migrate, type Store } from 'holdfast'
import { postgres } from 'holdfast/postgres'
import { failpoints, type TcpProxy, tcpProxy } from 'holdfast/testing'
import { createTwoPhase, twoPhaseTables } from 'holdfast/two-phase'
import pg from 'pg'
import { afterEach, describe, expect, it } from 'vitest'
import { freshPool } from '../support/postgres.ts'
import { until } from '../support/wait.ts'
import { move } from './world.ts'

afterEach(() => failpoints.reset())

const PHASES = [
  'two-phase.begun',
  'two-phase.worked',
  'two-phase.prepared',
  'store.commit.before',
  'store.commit.after',
  'two-phase.decided',
]

interface Node {
  readonly store: Store
  readonly proxy: TcpProxy
}

/** A database behind a proxy that may refuse, and a way past it for the audit. */
async function node(): Promise<
  Node & AsyncDisposable & { ids(): Promise<string[]>; prepared(): Promise<number> }
> {
  const database = await freshPool()
  const { hostname, port } = new URL(database.url)
  const proxy = await tcpProxy({ target: { host: hostname, port: Number(port) } })
  const url = new URL(database.url)
  url.port = String(proxy.port)
  const pool = new pg.Pool({ connectionString: url.href, max: 8, connectionTimeoutMillis: 2_000 })
  pool.on('error', () => {})
  pool.on('connect', (client) => client.on('error', () => {}))
  await database.pool.query('create table moved (id text primary key)')
  return {
    store: postgres(pool),
    proxy,
    ids: async () =>
      (await database.pool.query('select id from moved order by id')).rows.map((row) => row.id),
    prepared: async () =>
      (await database.pool.query('select gid from pg_prepared_xacts where database = current_database()'))
        .rows.length,
    async [Symbol.asyncDispose]() {
      await pool.end()
      await proxy.close()
      await database.drop()
    },
  }
}

describe.each(['apart', 'orders'] as const)('with the log %s', (place) => {
  it.each(place === 'apart' ? (['orders', 'payments', 'log'] as const) : (['orders', 'payments'] as const))(
    '%s goes down at each phase: nothing else waits for it, and all agree when it is back',
    async (victim) => {
      await using orders = await node()
      await using payments = await node()
      await using apart = await node()
      const nodes = { orders, payments, log: place === 'apart' ? apart : orders }
      await migrate(nodes.log.store, [twoPhaseTables])
      const open = () =>
        createTwoPhase(nodes.log.store, { participants: { orders: orders.store, payments: payments.store } })
      const twoPhase = open()
      const stores = { orders: orders.store, payments: payments.store }
      await twoPhase.check()
      const { proxy } = nodes[victim]
      for (const phase of PHASES) {
        failpoints.arm(
          phase,
          () => {
            proxy.refuse()
            proxy.cut()
          },
          { times: 1 },
        )
        const before = await orders.ids()
        const ended = await move(twoPhase, stores, phase).then(
          () => 'applied',
          (error) => (error as { outcome?: string }).outcome,
        )
        // The log can be read by others only where it is not the one that is down.
        const recoverer = open()
        if (victim !== 'log' && !(place === 'orders' && victim === 'orders')) {
          const report = await recoverer.recover({ inDoubtMs: 0, timeoutMs: 1_000 })
          expect(report.unreachable, phase).toEqual([victim])
          // The share of the one that is there is settled, whatever became of the other.
          expect(await (victim === 'orders' ? payments : orders).prepared(), phase).toBe(0)
          if (ended === 'applied')
            expect(report.pending, phase).toMatchObject([{ participant: victim, decision: 'commit' }])
        }
        proxy.heal()
        failpoints.reset()
        await until(
          async () => {
            await recoverer.recover({ inDoubtMs: 0, timeoutMs: 1_000 })
            return (
              (await orders.prepared()) + (await payments.prepared()) === 0 &&
              (await recoverer.decisions()).length === 0
            )
          },
          { what: `everything to be settled after ${victim} was down at ${phase}`, everyMs: 50 },
        )
        const after = await orders.ids()
        expect(await payments.ids(), phase).toEqual(after)
        const applied = after.length > before.length
        if (ended !== 'unknown') expect(applied, `${phase}: ${ended}`).toBe(ended === 'applied')
      }
    },
    60_000,
  )
})

it('a decision whose participant is down is kept, and shown, until it is back', async () => {
  await using orders = await node()
  await using payments = await node()
  await migrate(orders.store, [twoPhaseTables])
  const warnings: unknown[] = []
  const silent = () => {}
  const twoPhase = createTwoPhase(orders.store, {
    participants: { orders: orders.store, payments: payments.store },
    log: {
      debug: silent,
      info: silent,
      error: silent,
      warn: (text, fields) => warnings.push([text, fields]),
    },
  })
  await twoPhase.check()
  failpoints.arm('two-phase.decided', () => {
    payments.proxy.refuse()
    payments.proxy.cut()
  })
  await move(twoPhase, { orders: orders.store, payments: payments.store }, 'a')
  expect(warnings).toMatchObject([
    [expect.stringMatching(/has not committed yet/), { participant: 'payments' }],
  ])
  expect([await orders.ids(), await payments.ids()]).toEqual([['a'], []])
  expect(await twoPhase.decisions()).toMatchObject([{ decision: 'commit', participants: ['payments'] }])
  failpoints.reset()
  payments.proxy.heal()
  expect(await twoPhase.recover()).toMatchObject({ committed: 1, pending: [], unreachable: [] })
  expect([await orders.ids(), await payments.ids()]).toEqual([['a'], ['a']])
  expect(await twoPhase.decisions()).toEqual([])
  expect(await twoPhase.decisions({ finished: true })).toHaveLength(1)
})

/** A COMMIT that gets no answer: of a batch of the journal, of `s.transaction`, and of both in one. */
import { type OwnTransaction, type Store, sql } from 'holdfast'
import { createOutbox } from 'holdfast/outbox'
import { postgres } from 'holdfast/postgres'
import { saga, sagaOperations } from 'holdfast/saga'
import { tcpProxy } from 'holdfast/testing'
import pg from 'pg'
import { expect, it } from 'vitest'
import { effectsOf, quick, startRunner, stores } from './stores.ts'

const [, onPostgres] = stores as [unknown, (typeof stores)[number]]

/** More than a saga below has commits, so that the last runs are not disturbed. */
const COMMITS = 14

const note = (tx: OwnTransaction, id: string, what: string) =>
  tx.execute(sql`insert into effects (saga, what) values (${id}, ${what})`)

/** A store behind a proxy that cuts one connection at the nth write of the journal from now on. */
async function cuttingStore(url: string) {
  let left = 0
  let mode: 'lost' | 'applied' = 'lost'
  let cut = 0
  const replies = new Set<number>()
  const { hostname, port } = new URL(url)
  const proxy = await tcpProxy({
    target: { host: hostname, port: Number(port) },
    onPiece: (piece, direction, connection) => {
      if (direction === 'down') return replies.delete(connection) ? 'cut' : undefined
      // A batch that goes alone is one statement and its own commit.
      if (!piece.includes('commit\0') && !piece.includes('with held as')) return undefined
      if (left === 0 || --left > 0) return undefined
      cut += 1
      if (mode === 'lost') return 'cut'
      replies.add(connection)
      return undefined
    },
  })
  const through = new URL(url)
  through.port = String(proxy.port)
  const pool = new pg.Pool({ connectionString: through.href, max: 8 })
  pool.on('error', () => {})
  pool.on('connect', (client) => client.on('error', () => {}))
  return {
    store: postgres(pool, { prepare: false }),
    /** How often it has cut. */
    get cuts() {
      return cut
    },
    arm(at: number, how: 'lost' | 'applied') {
      left = at
      mode = how
    },
    async [Symbol.asyncDispose]() {
      await pool.end()
      await proxy.close()
    },
  }
}

it.each([
  ['lost', 'completes'],
  ['applied', 'completes'],
  ['lost', 'goes back'],
  ['applied', 'goes back'],
] as const)(
  'a COMMIT that was %s without an answer, at each place of a saga that %s: each effect once',
  async (mode, how) => {
    await using opened = await onPostgres.open()
    const { store: direct } = opened
    await using cutting = await cuttingStore(opened.at)
    const { store } = cutting
    const outbox = createOutbox(store)
    const order = saga('order', async (s) => {
      const id = s.sagaId
      await s.transaction('reserve', store, (tx) => note(tx, id, 'reserved'), {
        retry: { attemptsMax: 20, ...quick },
        undoRetry: { attemptsMax: 20, ...quick },
        undo: (tx) => note(tx, id, 'released'),
      })
      await s.message('tell', { outbox, topic: 'told', payload: {}, undo: { payload: {} } })
      const n = await s.step('local', () => 1)
      const m = await s.transaction(
        'pack',
        store,
        async (tx) => {
          await note(tx, id, 'packed')
          return n + 1
        },
        {
          retry: { attemptsMax: 20, ...quick },
          undoRetry: { attemptsMax: 20, ...quick },
          undo: (tx, { result }) => note(tx, id, `unpacked ${result}`),
        },
      )
      if (how === 'goes back') throw new Error('nobody came')
      return m
    })
    await using _runner = await startRunner(store, [order])
    for (let at = 1; at <= COMMITS; at++) {
      const id = `${at}`
      const handle = await order.start(direct, undefined, { id })
      cutting.arm(at, mode)
      const ended = await handle.result().catch((error: { code: string }) => error.code)
      expect(ended, id).toBe(how === 'completes' ? 2 : 'SAGA_FAILED')
      expect((await effectsOf(direct, id)).sort(), id).toEqual(
        how === 'completes' ? ['packed', 'reserved'] : ['packed', 'released', 'reserved', 'unpacked 2'],
      )
      expect(await toldOf(direct, id), id).toEqual(how === 'completes' ? ['do'] : ['do', 'undo'])
      const shown = await sagaOperations(direct).show(id)
      const entries = shown.entries.filter((entry) => entry.kind !== 'attempt')
      expect(new Set(entries.map((entry) => `${entry.kind} ${entry.step}`)).size, id).toBe(entries.length)
    }
    cutting.arm(0, mode)
    expect(cutting.cuts).toBeGreaterThan(6)
  },
  60_000,
)

/** What was published for it; a copy has the id of its original, by which consumers tell. */
async function toldOf(store: Store, id: string): Promise<string[]> {
  const rows = await store.query<{ message_id: string }>(
    sql`select distinct message_id from ${store.table('outbox')} where key = ${id} order by message_id`,
  )
  return rows.map((row) => row.message_id.split(':').at(-1) as string)
}

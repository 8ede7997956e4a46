/** The journal behind a proxy that pools by transaction: whole programs run there as they do without it. */
import { type Store, sql } from 'holdfast'
import { postgres } from 'holdfast/postgres'
import { sagaOperations } from 'holdfast/saga'
import pg from 'pg'
import { expect, it } from 'vitest'
import { pgbouncerServer } from '../support/pgbouncer.ts'
import { describeWith } from '../support/servers.ts'
import { until } from '../support/wait.ts'
import { judge } from './audit.ts'
import { idOf, makeProgram, signalsOf, toSaga } from './program.ts'
import { effectsOf, startRunner, stores } from './stores.ts'

const [, onPostgres] = stores as [unknown, (typeof stores)[number]]
const PROGRAMS = 60
const SEED = Math.floor(Math.random() * 1e9)

describeWith(await pgbouncerServer(), 'sagas behind PgBouncer in transaction mode', (proxy) => {
  it(`${PROGRAMS} programs from seed ${SEED} over two runners have each effect once, whole or given back`, async () => {
    await using opened = await onPostgres.open()
    const second = await opened.second()
    await using own = behind(proxy, opened.at)
    await using other = behind(proxy, second.at)
    const places = { own: own.store, other: other.store, twoPhase: undefined }
    for (const { store } of [opened, second])
      await store.execute('create table calls (call_key text primary key)')
    const definition = toSaga(places)
    await using _one = await startRunner(own.store, [definition])
    await using _two = await startRunner(own.store, [definition])
    const programs = Array.from({ length: PROGRAMS }, (_, i) => makeProgram(SEED + i, { twoPhase: false }))
    for (const program of programs) {
      const handle = await definition.start(own.store, program.seed, { id: idOf(program) })
      for (const signal of signalsOf(program)) await handle.signal(signal, 1, { id: signal })
    }
    await until(async () => (await unfinished(opened.store)) === 0, {
      deadlineMs: 25_000,
      everyMs: 50,
      what: 'the programs to end',
    })
    const problems: string[] = []
    for (const program of programs) {
      const id = idOf(program)
      const { state } = await sagaOperations(opened.store).show(id)
      const effects = [...(await effectsOf(opened.store, id)), ...(await effectsOf(second.store, id))]
      for (const problem of judge(program, state, effects)) problems.push(`seed ${program.seed}: ${problem}`)
    }
    expect(problems).toEqual([])
  })
})

function behind(proxy: string, url: string) {
  const pool = new pg.Pool({ connectionString: `${proxy}${new URL(url).pathname}`, max: 8 })
  return {
    store: postgres(pool, { prepare: false }),
    [Symbol.asyncDispose]: () => pool.end(),
  }
}

async function unfinished(store: Store): Promise<number> {
  const [row] = await store.query<{ n: unknown }>(
    sql`select count(*) as n from ${store.table('saga')} where ended_at_ms is null and state <> 'stuck'`,
  )
  return Number(row?.n)
}

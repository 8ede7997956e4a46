import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { seededRandom } from 'holdfast/testing'
import pg from 'pg'
import { describe, expect, it } from 'vitest'
import { tempFolder } from '../support/files.ts'
import { freshDatabase } from '../support/postgres.ts'
import { type Exit, startFixture } from '../support/process.ts'
import { openSqlite } from '../support/sqlite.ts'
import { ORDERS_PER_RUN, type PipelineArguments, type PipelineReport } from './pipeline-arguments.ts'

type Kind = PipelineArguments['kind']
type Without = PipelineArguments['without']

const PIPELINE = new URL('./pipeline.ts', import.meta.url)

const TABLES = [
  'create table orders (id text primary key)',
  'create table settled (order_id text not null)',
  'create table payments (order_id text not null)',
  'create table repaired (order_id text primary key)',
]

/** The databases of one pipeline, read with plain SQL and code that is not Holdfast's. */
interface Databases extends AsyncDisposable {
  readonly at: string
  query(store: 'shop' | 'pay', text: string): Promise<readonly Record<string, unknown>[]>
  /** As if the time of its leases had passed since the process died. */
  endLeases(): Promise<void>
}

async function openDatabases(kind: Kind): Promise<Databases> {
  if (kind === 'postgres') {
    const database = await freshDatabase()
    const client = new pg.Client({ connectionString: database.url })
    await client.connect()
    for (const text of TABLES) await client.query(text)
    return {
      at: database.url,
      query: async (_store, text) => (await client.query<Record<string, unknown>>(text)).rows,
      endLeases: async () => {
        for (const store of ['shop', 'pay']) await client.query(`update ${store}_lease set until_ms = 1`)
      },
      [Symbol.asyncDispose]: async () => {
        await client.end()
        await database.drop()
      },
    }
  }
  const folder = tempFolder('crash')
  const files = { shop: folder.file('shop.db'), pay: folder.file('pay.db') }
  for (const file of Object.values(files)) {
    const db = openSqlite(file)
    db.exec('pragma journal_mode = wal')
    for (const text of TABLES) db.exec(text)
    db.close()
  }
  return {
    at: folder.path,
    async query(store, text) {
      const db = openSqlite(files[store])
      try {
        return db.prepare(text).all() as Record<string, unknown>[]
      } finally {
        db.close()
      }
    },
    async endLeases() {
      for (const store of ['shop', 'pay'] as const) {
        const db = openSqlite(files[store])
        db.exec(`update ${store}_lease set until_ms = 1`)
        db.close()
      }
    },
    [Symbol.asyncDispose]: async () => folder.remove(),
  }
}

async function runPipeline(
  given: PipelineArguments & { failpoint?: string },
): Promise<{ exit: Exit; report: PipelineReport | undefined; stderr: string }> {
  const { failpoint, ...args } = given
  const child = startFixture<PipelineReport>(PIPELINE, {
    args: [JSON.stringify(args)],
    env: { HOLDFAST_FAILPOINTS: failpoint ?? '' },
  })
  const ended = await Promise.race([child.exited, sleep(60_000, undefined, { ref: false })])
  if (ended === undefined) {
    await child.kill()
    throw new Error(
      `run ${given.run} did not end within 60 s (${failpoint ?? 'no failpoint'})\n${child.stderr()}`,
    )
  }
  return { exit: ended, report: child.lines[0], stderr: child.stderr() }
}

interface Audit {
  readonly paidTwice: unknown[]
  readonly settledTwice: unknown[]
  readonly unpaid: unknown[]
  readonly unsettled: unknown[]
  readonly left: Record<string, number>
}

async function audit(databases: Databases): Promise<Audit> {
  const ids = async (store: 'shop' | 'pay', text: string) =>
    (await databases.query(store, text)).map((row) => Object.values(row)[0])
  const count = async (store: 'shop' | 'pay', table: string) => {
    return Number((await ids(store, `select count(*) from ${store}_${table}`))[0])
  }
  const paid = new Set(await ids('pay', 'select order_id from payments'))
  const orders = await ids('shop', 'select id from orders order by id')
  return {
    paidTwice: await ids('pay', 'select order_id from payments group by order_id having count(*) > 1'),
    settledTwice: await ids('shop', 'select order_id from settled group by order_id having count(*) > 1'),
    unpaid: orders.filter((id) => !paid.has(id)),
    unsettled: await ids('shop', 'select id from orders where id not in (select order_id from settled)'),
    left: {
      shopOutbox: await count('shop', 'outbox'),
      shopLater: await count('shop', 'outbox_later'),
      payOutbox: await count('pay', 'outbox'),
      payLater: await count('pay', 'outbox_later'),
      deadLetters: (await count('shop', 'dead_letter')) + (await count('pay', 'dead_letter')),
      attempts: (await count('shop', 'inbox_attempt')) + (await count('pay', 'inbox_attempt')),
    },
  }
}

const CLEAN: Audit = {
  paidTwice: [],
  settledTwice: [],
  unpaid: [],
  unsettled: [],
  left: { shopOutbox: 0, shopLater: 0, payOutbox: 0, payLater: 0, deadLetters: 0, attempts: 0 },
}

/** Every failpoint that stands in the source of the parts that the pipeline uses. */
function failpointsInSource(): string[] {
  const names = new Set<string>()
  for (const part of ['store', 'lease', 'effects', 'outbox', 'inbox', 'broker/store-queue']) {
    const folder = new URL(`../../src/${part}/`, import.meta.url)
    for (const file of readdirSync(folder)) {
      if (!file.endsWith('.ts')) continue
      const text = readFileSync(new URL(file, folder), 'utf8')
      for (const match of text.matchAll(/failpoint(?:Sync)?\(\s*'([^']+)'/g)) names.add(match[1] as string)
    }
  }
  // Prepared transactions belong to two-phase commit, whose own suite kills the coordinator there.
  return [...names].filter((name) => !name.startsWith('store.prepare.')).sort()
}

/** Kills the pipeline once at every place between two effects, restarts it each time, and audits. */
export function describeCrashes(kind: Kind): void {
  const seed = Number(process.env.HOLDFAST_TEST_SEED ?? Date.now() % 100_000)

  describe(`crashes of a pipeline on ${kind} (HOLDFAST_TEST_SEED=${seed})`, () => {
    it('nothing is lost and nothing applied twice, wherever the process is killed', async () => {
      await using databases = await openDatabases(kind)
      const first = await runPipeline({ kind, at: databases.at, run: 0 })
      expect(first.exit, first.stderr).toEqual({ code: 0, signal: null })
      expect(first.report?.settledEverything).toBe(true)
      const hits = new Map(first.report?.hits)
      // A failpoint that a clean run does not reach would go untested.
      expect([...hits.keys()].sort()).toEqual(expect.arrayContaining(failpointsInSource()))

      const random = seededRandom(seed)
      const places = [...hits.keys()].sort(() => random() - 0.5)
      let run = 1
      for (const place of places) {
        const hit = 1 + Math.floor(random() * Math.min(4, (hits.get(place) as number) / 3))
        const failpoint = `${place}=kill@${hit}`
        const { exit, report, stderr } = await runPipeline({ kind, at: databases.at, run, failpoint })
        expect(
          exit,
          `${failpoint} was not reached in run ${run}\n${JSON.stringify(report)}\n${stderr}`,
        ).toEqual({
          code: null,
          signal: 'SIGKILL',
        })
        await databases.endLeases()
        const { paidTwice, settledTwice } = await audit(databases)
        expect({ paidTwice, settledTwice }, `after ${failpoint} in run ${run}`).toEqual({
          paidTwice: [],
          settledTwice: [],
        })
        run += 1
      }
      const last = await runPipeline({ kind, at: databases.at, run })
      expect(await audit(databases), last.stderr).toEqual(CLEAN)
      expect(last.report?.settledEverything).toBe(true)
      const orders = await databases.query('shop', 'select id from orders')
      expect(orders.length).toBeGreaterThanOrEqual(2 * ORDERS_PER_RUN)
    }, 300_000)

    it('without the effect row a crash applies twice', async () => {
      await using databases = await openDatabases(kind)
      const found = await crashWithout(databases, 'effect row', 'inbox.consume.committed=kill@2')
      expect(found.paidTwice).not.toEqual([])
    }, 60_000)

    it('with the acknowledgement before the commit a crash loses messages', async () => {
      await using databases = await openDatabases(kind)
      const found = await crashWithout(databases, 'ack after commit', 'inbox.handle.worked=kill@1')
      expect(found.unpaid).not.toEqual([])
    }, 60_000)

    it('without the outbox a crash loses the reply', async () => {
      await using databases = await openDatabases(kind)
      const found = await crashWithout(databases, 'outbox', 'pipeline.paid=kill@1')
      expect(found.unpaid).toEqual([])
      expect(found.unsettled).not.toEqual([])
    }, 60_000)
  })

  async function crashWithout(databases: Databases, without: Without, failpoint: string): Promise<Audit> {
    const options = { kind, at: databases.at, run: 0, ...(without && { without }) }
    const killed = await runPipeline({ ...options, failpoint })
    expect(killed.exit, killed.stderr).toEqual({ code: null, signal: 'SIGKILL' })
    await databases.endLeases()
    const after = await runPipeline({ ...options, deadlineMs: 4_000 })
    expect(after.exit, after.stderr).toEqual({ code: 0, signal: null })
    return audit(databases)
  }
}

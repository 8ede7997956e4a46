/** `holdfast demo --flow two-phase`: money and stock across two databases, the coordinators killed at random. */
import { randomBytes } from 'node:crypto'
import { migrate } from 'holdfast'
import { postgres } from 'holdfast/postgres'
import { twoPhaseTables } from 'holdfast/two-phase'
import { startEmbeddedPostgres } from '../../bank/embedded-postgres.ts'
import type { Io } from '../main.ts'
import { paint } from '../report/table.ts'
import { openPgPool, type PgPool } from '../shared/database.ts'
import { chance } from '../shared/random.ts'
import { type Anomalies, audit, type Finding } from './audit.ts'
import { type Answered, Coordinators } from './coordinators.ts'
import { HELP, readTwoPhaseOptions, type TwoPhaseDemoOptions } from './options.ts'
import { paymentTables, planOrders, portionsOf, restaurantTables } from './orders.ts'
import type { Mode } from './place-order.ts'

const COORDINATORS = 2
const KILL_EVERY_MS = { none: undefined, default: 700, heavy: 350 } as const
/** Longer than recovery takes, by far. */
const SETTLE_MS = 20_000

/** The places at which a life may end by itself, besides the kills at random; the first is one that every order passes. */
const PLACES: Readonly<Record<Mode, readonly string[]>> = {
  naive: ['demo.between', 'demo.giving-back'],
  holdfast: [
    'two-phase.worked',
    'two-phase.preparing',
    'two-phase.prepared',
    'two-phase.deciding',
    'store.commit.before',
    'store.commit.after',
    'two-phase.decided',
    'two-phase.committing',
    'two-phase.committed',
  ],
  'without-decision': ['demo.between-commits'],
}

const ROWS: readonly (readonly [keyof Anomalies, string])[] = [
  ['halfDone', 'orders half done'],
  ['promisedAndGone', 'promised to the customer and gone'],
  ['moneyCreatedOrLost', 'money created or lost'],
  ['stockMiscounted', 'stock miscounted'],
  ['twice', 'charged or cooked twice'],
  ['leftPrepared', 'left prepared'],
]

interface Result extends Answered {
  readonly mode: Mode
  readonly orders: number
  readonly both: number
  readonly anomalies: Anomalies
  readonly findings: readonly Finding[]
  readonly ordersPerSecond: number
}

export async function main(argv: readonly string[], io: Io, signal: AbortSignal): Promise<number> {
  const options = readTwoPhaseOptions(argv)
  if (options.help) {
    io.out(HELP)
    return 0
  }
  const { faults, json, orders, seed, only, without } = options
  const server =
    options.postgresUrl === undefined
      ? await startEmbeddedPostgres({ max_prepared_transactions: '100', max_connections: '100' })
      : { url: options.postgresUrl, stop: async () => {} }
  try {
    if (!json)
      io.out(
        `${orders} orders, two coordinators, two PostgreSQL databases; faults: ${faults}; seed ${seed}\n`,
      )
    const modes: Mode[] = [
      ...(only === 'holdfast' ? [] : (['naive'] as const)),
      ...(only === 'naive'
        ? []
        : [without === undefined ? ('holdfast' as const) : ('without-decision' as const)]),
    ]
    const results: Result[] = []
    for (const mode of modes) results.push(await run(mode, server.url, options, signal))
    const ok = judge(results, faults !== 'none')
    if (json) io.out(`${JSON.stringify({ flow: 'two-phase', runs: results.map(toJson), ok })}\n`)
    else io.out(report(results, ok, io.colour))
    return ok ? 0 : 1
  } finally {
    await server.stop()
  }
}

async function run(
  mode: Mode,
  serverUrl: string,
  { orders, seed, faults }: TwoPhaseDemoOptions,
  signal: AbortSignal,
): Promise<Result> {
  const databases = await createDatabases(serverUrl)
  try {
    const { payment, restaurant } = databases
    await fill(payment, paymentTables())
    await fill(restaurant, restaurantTables(portionsOf(orders)))
    if (mode === 'holdfast') await migrate(postgres(payment.pool), [twoPhaseTables])
    const everyMs = KILL_EVERY_MS[faults]
    const coordinators = new Coordinators(COORDINATORS, planOrders(orders, seed), (index, life) => ({
      mode,
      paymentUrl: payment.url,
      restaurantUrl: restaurant.url,
      failpoints: everyMs === undefined ? '' : placeToDie({ mode, orders, seed, index, life }),
    }))
    const startMs = performance.now()
    let kills = 0
    const killer =
      everyMs === undefined
        ? undefined
        : setInterval(() => {
            kills += 1
            if (chance(seed, 'kill', kills) < 0.6)
              coordinators.kill(Math.floor(chance(seed, 'whom', kills) * COORDINATORS), isSure)
          }, everyMs)
    const interrupted = new Promise<never>((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason), { once: true })
    })
    interrupted.catch(() => {})
    try {
      await Promise.race([coordinators.done, interrupted])
      const seconds = (performance.now() - startMs) / 1_000
      clearInterval(killer)
      await settled([payment.pool, restaurant.pool])
      await coordinators.stop()
      const found = await audit(payment.pool, restaurant.pool, coordinators.answered.placed)
      return { mode, orders, ...coordinators.answered, ...found, ordersPerSecond: orders / seconds }
    } finally {
      clearInterval(killer)
      await coordinators.stop()
    }
  } finally {
    await databases.remove()
  }
}

/** The one life of every run that ends at a place for certain, so that a short run is not over before anything happened. */
const isSure = (index: number, life: number): boolean => index === 0 && life === 1

const ORDERS_BEFORE_MAX = 40

/**
 * Most lives end at a place between two effects, after some orders; which, follows from the seed. The sure one ends at the
 * first of the places, which every order passes, after few enough that its coordinator has them however short the run is.
 */
function placeToDie(about: {
  mode: Mode
  orders: number
  seed: number
  index: number
  life: number
}): string {
  const { mode, orders, seed, index, life } = about
  const hit = chance(seed, 'hit', index, life)
  const places = PLACES[mode]
  if (isSure(index, life)) {
    const most = Math.min(ORDERS_BEFORE_MAX, orders / COORDINATORS / 8)
    return `${places[0]}=kill@${1 + Math.floor(hit * most)}`
  }
  if (chance(seed, 'lives', index, life) < 0.2) return ''
  const place = places[Math.floor(chance(seed, 'place', index, life) * places.length)]
  return `${place}=kill@${3 + Math.floor(hit * ORDERS_BEFORE_MAX)}`
}

interface Database {
  readonly url: string
  readonly pool: PgPool
}

async function createDatabases(serverUrl: string) {
  const run = `holdfast_demo_${randomBytes(4).toString('hex')}`
  const admin = await openPgPool(serverUrl, 1)
  const open = async (name: string): Promise<Database> => {
    await admin.query(`create database ${run}_${name}`)
    const url = new URL(serverUrl)
    url.pathname = `/${run}_${name}`
    return { url: url.href, pool: await openPgPool(url.href, 4) }
  }
  const [payment, restaurant] = [await open('payment'), await open('restaurant')]
  return {
    payment,
    restaurant,
    async remove() {
      for (const { pool } of [payment, restaurant]) {
        const { rows } = await pool.query(
          'select gid from pg_prepared_xacts where database = current_database()',
        )
        for (const { gid } of rows as { gid: string }[])
          await pool.query(`rollback prepared '${gid}'`).catch(() => {})
        await pool.end()
      }
      for (const name of ['payment', 'restaurant'])
        await admin.query(`drop database ${run}_${name} with (force)`)
      await admin.end()
    },
  }
}

async function fill({ pool }: Database, statements: readonly string[]): Promise<void> {
  await pool.query(statements.join(';\n'))
}

/** Until recovery has settled what was left behind, or the time is over; the audit then says so. */
async function settled(pools: readonly PgPool[]): Promise<void> {
  const untilMs = performance.now() + SETTLE_MS
  for (;;) {
    const left = await Promise.all(
      pools.map(async (pool) => {
        const { rows } = await pool.query(
          'select 1 from pg_prepared_xacts where database = current_database()',
        )
        return rows.length
      }),
    )
    if (left.every((n) => n === 0) || performance.now() > untilMs) return
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

function total(anomalies: Anomalies): number {
  return Object.values(anomalies).reduce((a, b) => a + b, 0)
}

/** Holdfast must be without a flaw; under faults, the naive run must show that there was something to prevent. */
function judge(results: readonly Result[], faults: boolean): boolean {
  return results.every(({ mode, anomalies }) =>
    mode === 'naive' ? !faults || results.length === 1 || total(anomalies) > 0 : total(anomalies) === 0,
  )
}

function toJson({ placed, findings, ...result }: Result): object {
  return { ...result, placed: placed.length, findings: findings.slice(0, 20) }
}

function report(results: readonly Result[], ok: boolean, colour: boolean): string {
  const { bad, good, dim, strong } = paint(colour)
  const line = (name: string, cells: readonly string[]): string =>
    `  ${name.padEnd(36)}${cells.map((cell) => cell.padStart(18)).join('')}\n`
  let text = `\n${strong(
    line(
      '',
      results.map((r) => r.mode.replaceAll('-', ' ')),
    ),
  )}`
  for (const [kind, words] of ROWS) {
    const cells = results.map(({ anomalies }) => anomalies[kind])
    text += `  ${words.padEnd(36)}${cells.map((n) => (n > 0 ? bad : good)(String(n).padStart(18))).join('')}\n`
  }
  text += '\n'
  const figures: readonly (readonly [string, (r: Result) => number | string])[] = [
    ['orders placed', (r) => r.placed.length],
    ['orders refused', (r) => r.refused],
    ['orders that failed', (r) => r.failed],
    ['orders whose coordinator was killed', (r) => r.unanswered],
    ['orders in both databases', (r) => r.both],
    ['coordinators killed', (r) => r.kills],
    ['orders per second', (r) => r.ordersPerSecond.toFixed(0)],
  ]
  for (const [name, figure] of figures)
    text += dim(
      line(
        name,
        results.map((r) => `${figure(r)}`),
      ),
    )
  for (const { mode, findings } of results.filter((r) => r.findings.length > 0)) {
    text += `\n  ${mode.replaceAll('-', ' ')}: for example\n${dim(
      findings
        .slice(0, 8)
        .map((f) => `    ${f.text}\n`)
        .join(''),
    )}`
  }
  const words = results.map(
    ({ mode, anomalies }) =>
      `${mode.replaceAll('-', ' ')}: ${total(anomalies) === 0 ? 'no anomaly' : `${total(anomalies)} anomalies`}.`,
  )
  return `${text}\n  ${(ok ? good : bad)(words.join(' '))}\n`
}

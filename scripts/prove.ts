/**
 * The history checkers over Holdfast itself. `npm run prove [-- ORDERS]`.
 *
 * Runs the demo under heavy faults and records, from outside of it, two histories: the payment service's money as a bank,
 * read in one statement again and again while processes are killed; and the orders as deliveries, each to be seen once by
 * payment, restaurant and courier. With Holdfast all must be valid. Of the version written the way it is first written,
 * the bank must be found wrong and orders lost or twice: a check that finds nothing there would prove nothing here.
 */
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { openReadOnly, type ReadOnly } from '../examples/food-delivery/audit/read-only.ts'
import type { HistoryEvent } from '../src/history/index.ts'

const orders = process.argv[2] ?? '200'
const main = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url))
const READ_EVERY_MS = 20

let passed = true
for (const version of ['holdfast', 'naive'] as const) {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-prove-'))
  try {
    const { bank, total } = await runDemo(version, folder)
    const files = {
      bank: write(folder, 'bank.jsonl', bank),
      'orders placed': write(folder, 'placed.jsonl', await placed(folder, version)),
      'orders dispatched': write(folder, 'dispatched.jsonl', await dispatched(folder, version)),
    }
    const verdicts = [
      check('bank', files.bank, ['--model', 'bank', '--total', String(total)]),
      check('orders placed', files['orders placed'], ['--model', 'delivery']),
      check('orders dispatched', files['orders dispatched'], ['--model', 'delivery']),
    ]
    const [money, ...deliveries] = verdicts.map(({ types }) => types)
    const good =
      version === 'holdfast'
        ? verdicts.every(({ verdict }) => verdict === 'valid')
        : money?.includes('wrong-total') &&
          deliveries.some((types) => types.includes('lost') || types.includes('duplicated'))
    console.log(`${good ? 'ok    ' : 'FAILED'} ${version} (${orders} orders)`)
    passed &&= good === true
  } finally {
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
  }
}
process.exit(passed ? 0 : 1)

async function runDemo(
  version: 'holdfast' | 'naive',
  folder: string,
): Promise<{ bank: HistoryEvent[]; total: number }> {
  const args = ['demo', '--only', version, '--orders', orders, '--faults', 'heavy', '--keep', folder]
  const demo = spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'ignore', 'inherit'] })
  let ended = false
  const exit = new Promise<number | null>((resolve) =>
    demo.once('close', (code) => {
      ended = true
      resolve(code)
    }),
  )
  const bank: HistoryEvent[] = []
  let payment: ReadOnly | undefined
  while (!ended) {
    payment ??= await openWhenReady(join(folder, version, 'payment.db'))
    if (payment !== undefined) await readBank(payment, bank)
    await sleep(READ_EVERY_MS)
  }
  const code = await exit
  if (version === 'holdfast' && code !== 0) throw new Error(`the demo ended with ${code}`)
  payment ??= await openReadOnly({ kind: 'sqlite', path: join(folder, version, 'payment.db') })
  await readBank(payment, bank)
  const [{ total }] = (await payment.read<{ total: number }>(
    'select sum(opening_cents) as total from account',
  )) as [{ total: number }]
  await payment.close()
  return { bank, total: Number(total) }
}

/** The accounts may not be there yet: the first read that sees them is the first of the history. */
async function openWhenReady(path: string): Promise<ReadOnly | undefined> {
  let opened: ReadOnly | undefined
  try {
    opened = await openReadOnly({ kind: 'sqlite', path })
    const rows = await opened.read<{ n: number }>('select count(*) as n from account')
    if (Number(rows[0]?.n) > 0) return opened
  } catch {}
  await opened?.close()
  return undefined
}

/** What was taken from the accounts and what the ledger says was taken, at one moment: together they never change. */
async function readBank(payment: ReadOnly, bank: HistoryEvent[]): Promise<void> {
  const rows = await payment.read<{ id: string; cents: number }>(
    `select id, balance_cents as cents from account
     union all select 'ledger', coalesce(-sum(amount_cents), 0) from ledger`,
  )
  const value = Object.fromEntries(rows.map(({ id, cents }) => [id, Number(cents)]))
  bank.push({ process: 'reader', type: 'invoke', f: 'read' })
  bank.push({ process: 'reader', type: 'ok', f: 'read', value })
}

interface Row {
  readonly id: string
  readonly at: number
}

/** Each order, once to the payment service and once to the restaurant. */
async function placed(folder: string, version: string): Promise<HistoryEvent[]> {
  return deliveries(await rows(folder, version, 'order', 'select id, placed_at_ms as at from orders'), {
    payment: await rows(
      folder,
      version,
      'payment',
      "select order_id as id, at_ms as at from ledger where kind in ('charge', 'declined')",
    ),
    restaurant: await rows(folder, version, 'restaurant', 'select order_id as id, at_ms as at from ticket'),
  })
}

/** Each order that was paid and accepted, once to a courier. */
async function dispatched(folder: string, version: string): Promise<HistoryEvent[]> {
  return deliveries(
    await rows(
      folder,
      version,
      'order',
      "select id, placed_at_ms as at from orders where payment = 'charged' and kitchen = 'accepted'",
    ),
    { courier: await rows(folder, version, 'delivery', 'select order_id as id, at_ms as at from delivery') },
  )
}

async function rows(folder: string, version: string, database: string, text: string): Promise<Row[]> {
  const db = await openReadOnly({ kind: 'sqlite', path: join(folder, version, `${database}.db`) })
  try {
    return await db.read<Row>(text)
  } finally {
    await db.close()
  }
}

/** In the order of the machine's clock, which all of these processes share; what is sent stands before what arrives. */
function deliveries(sent: readonly Row[], groups: Readonly<Record<string, readonly Row[]>>): HistoryEvent[] {
  const all = [
    ...sent.map(({ id, at }) => ({
      at: Number(at),
      event: { process: id, type: 'ok', f: 'publish', value: id, key: id } as HistoryEvent,
    })),
    ...Object.entries(groups).flatMap(([group, list]) =>
      list.map(({ id, at }) => ({
        at: Number(at),
        event: { process: group, type: 'ok', f: 'deliver', value: id, group } as HistoryEvent,
      })),
    ),
  ]
  return all
    .sort((a, b) => a.at - b.at || (a.event.f === b.event.f ? 0 : a.event.f === 'publish' ? -1 : 1))
    .map(({ event }) => event)
}

function write(folder: string, name: string, events: readonly HistoryEvent[]): string {
  const file = join(folder, name)
  writeFileSync(file, events.map((event) => `${JSON.stringify(event)}\n`).join(''))
  return file
}

function check(
  name: string,
  file: string,
  args: readonly string[],
): { readonly verdict: string; readonly types: readonly string[] } {
  const { stdout, stderr } = spawnSync(process.execPath, [main, 'check', file, ...args, '--json'], {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  })
  const { verdict, operations, anomalies, reason, error } = JSON.parse(stdout) as {
    verdict?: string
    operations: number
    anomalies: { type: string; explanation: string }[]
    reason?: string
    error?: { message: string }
  }
  if (verdict === undefined) throw new Error(error?.message ?? stderr)
  const types = [...new Set(anomalies.map((a) => a.type))]
  console.log(
    `       ${name}: ${verdict}, ${operations} operations${types.length === 0 ? '' : `: ${types.join(', ')}`}${verdict === 'unknown' ? ` (${reason})` : ''}`,
  )
  if (anomalies[0] !== undefined) console.log(`         such as: ${anomalies[0].explanation}`)
  return { verdict, types }
}

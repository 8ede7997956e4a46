import { setTimeout as sleep } from 'node:timers/promises'
import type { MenuItem, PlaceOrder } from '../shared/domain.ts'
import type { Operation } from './history.ts'
import type { Processes } from './processes.ts'
import type { PlannedOrder, Workload } from './workload.ts'

/** What the customers of one run saw. Times are wall clock, as the services write them. */
export interface CustomersRecord {
  readonly answered: Map<string, string>
  readonly placedAtMs: Map<string, number>
  /** Requests sent again because the answer was lost or the service was down. */
  retries: number
}

export interface CustomersOptions {
  readonly workload: Workload
  readonly processes: Processes
  /** Orders that are under way at the same time. */
  readonly concurrency: number
  /** Fulfils when the order has ended, or after the customer's patience. */
  readonly waitForEnd: (key: string) => Promise<void>
  readonly record: (operation: Operation) => void
  readonly signal: AbortSignal
}

const REQUEST_MS = 3_000
const RETRY_MS = 60
const MANAGER_LOOKS_MS = 10
/** After this long a customer gives up; the audit then finds the order half done, or not at all. */
const GIVE_UP_MS = 60_000

/** All customers of the workload: each looks at the menu, orders, waits for the end, and the next one comes. */
export async function runCustomers(options: CustomersOptions): Promise<CustomersRecord> {
  const record: CustomersRecord = { answered: new Map(), placedAtMs: new Map(), retries: 0 }
  const queue = options.workload.orders.values()
  const customer = async (): Promise<void> => {
    for (const order of queue) {
      if (options.signal.aborted) return
      await placeOrder(order, options, record)
      await options.waitForEnd(order.key)
    }
  }
  await Promise.all(Array.from({ length: options.concurrency }, customer))
  return record
}

async function placeOrder(
  order: PlannedOrder,
  options: CustomersOptions,
  record: CustomersRecord,
): Promise<void> {
  const { processes, signal } = options
  const say = (type: Operation['type'], value: unknown): void =>
    options.record({ process: order.key, type, f: 'place-order', value })
  const menu = await untilAnswered<MenuItem[]>(
    () => request(processes.url('restaurant'), 'GET', '/menu', undefined, {}, signal),
    signal,
  )
  const item = menu?.find(({ dish }) => dish === order.dish)
  if (item === undefined) return
  const body: PlaceOrder = {
    customer: order.customer,
    dish: order.dish,
    quantity: order.quantity,
    priceCents: item.priceCents,
    menuVersion: item.version,
  }
  record.placedAtMs.set(order.key, Date.now())
  let attempt = 0
  const answer = await untilAnswered<{ orderId: string } | null>(async () => {
    attempt += 1
    if (attempt > 1) record.retries += 1
    say('invoke', { key: order.key, attempt, ...body })
    try {
      const headers = { 'idempotency-key': order.key, attempt: String(attempt) }
      const answered = await request(processes.url('order'), 'POST', '/orders', body, headers, signal)
      say('ok', answered)
      return answered
    } catch (error) {
      say('info', { key: order.key, attempt, error: (error as Error).message })
      throw error
    }
  }, signal)
  // A service that lost its own answer has nothing to say; the audit finds out what became of the order.
  if (answer) record.answered.set(order.key, answer.orderId)
}

/** Changes prices, one after the other, until stopped; each change is repeated until it is answered. */
export async function runManager(options: {
  readonly workload: Workload
  readonly processes: Processes
  /** Orders that have ended so far. */
  readonly ended: () => number
  readonly record: (operation: Operation) => void
  readonly signal: AbortSignal
}): Promise<void> {
  const { workload, processes, ended, record, signal } = options
  let changedAt = 0
  for (const { afterOrders, dish, priceCents } of workload.priceChanges()) {
    while (!signal.aborted && ended() < changedAt + afterOrders) {
      await sleep(MANAGER_LOOKS_MS, undefined, { signal }).catch(() => {})
    }
    if (signal.aborted) return
    changedAt = ended()
    const say = (type: Operation['type'], value: unknown): void =>
      record({ process: 'manager', type, f: 'change-price', value })
    await untilAnswered(async () => {
      say('invoke', { dish, priceCents })
      try {
        await request(processes.url('restaurant'), 'PUT', `/menu/${dish}`, { priceCents }, {}, signal)
        say('ok', { dish, priceCents })
      } catch (error) {
        say('info', { dish, priceCents, error: (error as Error).message })
        throw error
      }
    }, signal)
  }
}

async function untilAnswered<T>(send: () => Promise<unknown>, signal: AbortSignal): Promise<T | undefined> {
  const deadlineMs = performance.now() + GIVE_UP_MS
  while (!signal.aborted && performance.now() < deadlineMs) {
    try {
      return (await send()) as T
    } catch {
      await sleep(RETRY_MS)
    }
  }
  return undefined
}

/** Rejects unless the answer is a success: the socket broke, nobody listens, or the service says that it failed. */
async function request(
  base: string | undefined,
  method: string,
  path: string,
  body: unknown,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<unknown> {
  if (base === undefined) throw new Error('the service is down')
  const response = await fetch(base + path, {
    method,
    headers: { 'content-type': 'application/json', ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.any([signal, AbortSignal.timeout(REQUEST_MS)]),
  })
  const answer: unknown = await response.json()
  if (!response.ok) throw new Error(`status ${response.status}`)
  return answer
}

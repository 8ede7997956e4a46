import { openReadOnly, type Place } from './read-only.ts'

/** What the customers know: for each key that was answered with 201, the order's id in that answer. */
export interface CustomersView {
  readonly answered: ReadonlyMap<string, string>
}

/** How often each rule was broken. `docs/reference/demo.md` says what counts. */
export interface Anomalies {
  moneyCreatedOrLost: number
  dishesOversold: number
  stockMiscounted: number
  chargedTwice: number
  outdatedPrice: number
  eventsLost: number
  halfDone: number
  servicesDisagree: number
}

export interface AuditResult {
  readonly anomalies: Anomalies
  /** A few sentences for each kind that was found, with names and sums. */
  readonly findings: readonly { readonly kind: keyof Anomalies; readonly text: string }[]
  readonly ended: number
  readonly delivered: number
  readonly cancelled: number
  /** When each order ended, by its key, in milliseconds since 1970; the first of several orders with one key. */
  readonly endedAtMs: ReadonlyMap<string, number>
  /** Orders without an end, by what they are waiting for. */
  readonly stuck: readonly { readonly state: string; readonly count: number }[]
}

const FINDINGS_PER_KIND = 5

/** Reads the four databases and applies the rules of the business to them, order by order. */
export async function audit(
  places: Readonly<Record<'order' | 'payment' | 'restaurant' | 'delivery', Place>>,
  customers: CustomersView,
): Promise<AuditResult> {
  const rows = await readEverything(places)
  const anomalies: Anomalies = {
    moneyCreatedOrLost: 0,
    dishesOversold: 0,
    stockMiscounted: 0,
    chargedTwice: 0,
    outdatedPrice: 0,
    eventsLost: 0,
    halfDone: 0,
    servicesDisagree: 0,
  }
  const findings: { kind: keyof Anomalies; text: string }[] = []
  const found = (kind: keyof Anomalies, text: string, count = 1): void => {
    anomalies[kind] += count
    if (findings.filter((f) => f.kind === kind).length < FINDINGS_PER_KIND) findings.push({ kind, text })
  }

  checkMoney(rows, found)
  checkStock(rows, found)
  checkPrices(rows, found)
  checkOrders(rows, found)
  checkKeys(rows, customers, found)

  const ended = rows.orders.filter((o) => o.endedAtMs !== null)
  return {
    anomalies,
    findings,
    ended: ended.length,
    delivered: ended.filter((o) => o.status === 'delivered').length,
    cancelled: ended.filter((o) => o.status === 'cancelled').length,
    endedAtMs: new Map(
      ended
        .sort((a, b) => Number(b.endedAtMs) - Number(a.endedAtMs))
        .map((o) => [o.key, Number(o.endedAtMs)]),
    ),
    stuck: countBy(
      rows.orders.filter((o) => o.endedAtMs === null),
      (o) => `${o.status} (payment: ${o.payment ?? 'no answer'}, kitchen: ${o.kitchen ?? 'no answer'})`,
    ),
  }
}

type Found = (kind: keyof Anomalies, text: string, count?: number) => void

interface Rows {
  orders: {
    id: string
    key: string
    quantity: number
    priceCents: number
    totalCents: number
    status: string
    payment: string | null
    kitchen: string | null
    refunded: number
    returned: number
    endedAtMs: number | null
  }[]
  accounts: { id: string; opening: number; balance: number; booked: number }[]
  ledger: Map<string, { charges: number; declines: number; refunds: number; net: number }>
  dishes: { id: string; total: number; left: number; reserved: number }[]
  menuLog: { dish: string; kind: string; priceCents: number; orderId: string | null }[]
  tickets: Map<string, Map<string, number>>
  couriers: { id: string; trips: number; earned: number; made: number; fees: number }[]
  deliveries: Map<string, number>
  /** What the customer was told last. */
  told: Map<string, string>
}

/** Sums are made by the databases; int8 columns arrive as text from some drivers. */
async function readEverything(
  places: Readonly<Record<'order' | 'payment' | 'restaurant' | 'delivery', Place>>,
): Promise<Rows> {
  const read = async (service: keyof typeof places, text: string): Promise<Record<string, unknown>[]> => {
    const database = await openReadOnly(places[service])
    try {
      return await database.read(text)
    } finally {
      await database.close()
    }
  }
  const orders = await read('order', 'select * from orders')
  const accounts = await read(
    'payment',
    `select id, opening_cents, balance_cents,
       coalesce((select sum(l.amount_cents) from ledger l where l.account = account.id), 0) as booked
     from account`,
  )
  const ledger = await read(
    'payment',
    `select order_id, sum(case kind when 'charge' then 1 else 0 end) as charges,
       sum(case kind when 'declined' then 1 else 0 end) as declines,
       sum(case kind when 'refund' then 1 else 0 end) as refunds, sum(amount_cents) as net
     from ledger group by order_id`,
  )
  const dishes = await read(
    'restaurant',
    `select id, portions_total, portions_left,
       coalesce((select sum(t.quantity) from ticket t where t.dish = dish.id and t.state = 'accepted'), 0)
         as reserved
     from dish`,
  )
  const menuLog = await read(
    'restaurant',
    'select dish, kind, price_cents, order_id from menu_log order by id',
  )
  const tickets = await read(
    'restaurant',
    'select order_id, state, count(*) as number from ticket group by order_id, state',
  )
  const couriers = await read(
    'delivery',
    `select id, trips, earned_cents,
       (select count(*) from delivery d where d.courier = courier.id) as made,
       coalesce((select sum(d.fee_cents) from delivery d where d.courier = courier.id), 0) as fees
     from courier`,
  )
  const deliveries = await read(
    'delivery',
    'select order_id, count(*) as number from delivery group by order_id',
  )
  const tracking = await read('delivery', 'select order_id, says from tracking')
  const text = (value: unknown): string => String(value)
  const textOrNull = (value: unknown): string | null => (value === null ? null : String(value))
  const states = new Map<string, Map<string, number>>()
  for (const row of tickets) {
    const id = text(row.order_id)
    if (!states.has(id)) states.set(id, new Map())
    states.get(id)?.set(text(row.state), Number(row.number))
  }
  return {
    orders: orders.map((row) => ({
      id: text(row.id),
      key: text(row.idempotency_key),
      quantity: Number(row.quantity),
      priceCents: Number(row.price_cents),
      totalCents: Number(row.total_cents),
      status: text(row.status),
      payment: textOrNull(row.payment),
      kitchen: textOrNull(row.kitchen),
      refunded: Number(row.refunded),
      returned: Number(row.returned),
      endedAtMs: row.ended_at_ms === null ? null : Number(row.ended_at_ms),
    })),
    accounts: accounts.map((row) => ({
      id: text(row.id),
      opening: Number(row.opening_cents),
      balance: Number(row.balance_cents),
      booked: Number(row.booked),
    })),
    ledger: new Map(
      ledger.map((row) => [
        text(row.order_id),
        {
          charges: Number(row.charges),
          declines: Number(row.declines),
          refunds: Number(row.refunds),
          net: Number(row.net),
        },
      ]),
    ),
    dishes: dishes.map((row) => ({
      id: text(row.id),
      total: Number(row.portions_total),
      left: Number(row.portions_left),
      reserved: Number(row.reserved),
    })),
    menuLog: menuLog.map((row) => ({
      dish: text(row.dish),
      kind: text(row.kind),
      priceCents: Number(row.price_cents),
      orderId: textOrNull(row.order_id),
    })),
    tickets: states,
    couriers: couriers.map((row) => ({
      id: text(row.id),
      trips: Number(row.trips),
      earned: Number(row.earned_cents),
      made: Number(row.made),
      fees: Number(row.fees),
    })),
    deliveries: new Map(deliveries.map((row) => [text(row.order_id), Number(row.number)])),
    told: new Map(tracking.map((row) => [text(row.order_id), text(row.says)])),
  }
}

/** What an account holds must be what it opened with and what was booked since; so must a courier's earnings. */
function checkMoney({ accounts, couriers }: Rows, found: Found): void {
  for (const { id, opening, balance, booked } of accounts) {
    const difference = balance - (opening + booked)
    if (difference === 0) continue
    found(
      'moneyCreatedOrLost',
      `${id}: the balance is ${balance} cents, the ledger says ${opening + booked}: ${Math.abs(difference)} cents ${difference > 0 ? 'created' : 'lost'}`,
    )
  }
  for (const { id, trips, earned, made, fees } of couriers) {
    if (earned === fees && trips === made) continue
    found('moneyCreatedOrLost', `${id}: paid ${earned} cents for ${trips} trips, made ${made} worth ${fees}`)
  }
}

function checkStock({ dishes }: Rows, found: Found): void {
  for (const { id, total, left, reserved } of dishes) {
    if (reserved > total) {
      found('dishesOversold', `${id}: ${reserved} portions promised of ${total}`, reserved - total)
    }
    if (left !== total - reserved) {
      found('stockMiscounted', `${id}: ${left} portions left in the books, ${total - reserved} in truth`)
    }
  }
}

/** The log of the menu holds price changes and acceptances in the order in which they happened. */
function checkPrices({ menuLog }: Rows, found: Found): void {
  const price = new Map<string, number>()
  for (const { dish, kind, priceCents, orderId } of menuLog) {
    if (kind === 'price') price.set(dish, priceCents)
    else if (priceCents !== price.get(dish)) {
      found(
        'outdatedPrice',
        `${orderId}: ${dish} accepted at ${priceCents} cents when it cost ${price.get(dish)}`,
      )
    }
  }
}

/** Compares what the four services say about each order. */
function checkOrders({ orders, ledger, tickets, deliveries, told }: Rows, found: Found): void {
  for (const order of orders) {
    const { id, status, payment, kitchen } = order
    const money = ledger.get(id) ?? { charges: 0, declines: 0, refunds: 0, net: 0 }
    const states = tickets.get(id) ?? new Map<string, number>()
    const ticketCount = [...states.values()].reduce((a, b) => a + b, 0)
    const accepted = states.get('accepted') ?? 0
    const trips = deliveries.get(id) ?? 0

    // What one service did and the next one never heard of.
    const lost = [
      money.charges + money.declines === 0 && 'payment never heard of the order',
      ticketCount === 0 && 'the restaurant never heard of the order',
      payment === null && money.charges + money.declines > 0 && 'the order service never heard from payment',
      kitchen === null &&
        ticketCount > (states.get('new') ?? 0) &&
        'the order service never heard from the restaurant',
      status === 'confirmed' && trips === 0 && 'delivery never heard that the order was confirmed',
      status === 'confirmed' && trips > 0 && 'the order service never heard of the delivery',
      status === 'cancelling' &&
        payment === 'charged' &&
        money.refunds === 0 &&
        'payment never heard of the cancellation',
      status === 'cancelling' &&
        kitchen === 'accepted' &&
        accepted > 0 &&
        'the restaurant never heard of the cancellation',
      status === 'cancelling' &&
        order.refunded === 0 &&
        money.refunds > 0 &&
        'the order service never heard of the refund',
      status === 'cancelling' &&
        order.returned === 0 &&
        (states.get('returned') ?? 0) > 0 &&
        'the order service never heard of the returned portions',
    ].filter((text) => text !== false)
    for (const text of lost) found('eventsLost', `${id}: ${text}`)

    const halfDone = [
      order.endedAtMs === null && `stays ${status}`,
      status === 'cancelled' && money.net < 0 && `cancelled, and ${-money.net} cents kept`,
      status === 'cancelled' && accepted > 0 && 'cancelled, and its portions not returned',
    ].filter((text) => text !== false)
    if (halfDone.length > 0) found('halfDone', `${id}: ${halfDone.join('; ')}`)

    const expected = status === 'delivered' ? -order.totalCents : 0
    const disagree = [
      order.totalCents !== order.quantity * order.priceCents && 'its total is not price times quantity',
      status === 'delivered' &&
        money.net !== expected &&
        `delivered, paid ${-money.net} of ${-expected} cents`,
      status === 'delivered' && accepted !== 1 && `delivered, ${accepted} tickets in the kitchen`,
      status === 'delivered' && trips !== 1 && `delivered, ${trips} trips made`,
      status === 'cancelled' && trips > 0 && 'cancelled, and a courier went',
      status === 'cancelled' && money.net > 0 && `cancelled, and ${money.net} cents too many given back`,
      payment === 'charged' && money.charges === 0 && 'charged, says the order; payment has no charge',
      payment === 'declined' && money.charges > 0 && 'declined, says the order; payment has a charge',
      ticketCount > 1 && `${ticketCount} tickets in the kitchen`,
      order.endedAtMs !== null &&
        told.has(id) &&
        told.get(id) !== status &&
        `${status}, and the customer is told "${told.get(id)}"`,
    ].filter((text) => text !== false)
    if (disagree.length > 0) found('servicesDisagree', `${id}: ${disagree.join('; ')}`)
  }
}

/** One key is one order for the customer, however often the request had to be sent. */
function checkKeys({ orders, ledger }: Rows, customers: CustomersView, found: Found): void {
  const byKey = new Map<string, string[]>()
  for (const { key, id } of orders) byKey.set(key, [...(byKey.get(key) ?? []), id])
  for (const [key, ids] of byKey) {
    const charges = ids.map((id) => ledger.get(id)?.charges ?? 0).reduce((a, b) => a + b, 0)
    if (charges > 1) found('chargedTwice', `${key}: charged ${charges} times`)
    if (ids.length > 1) found('servicesDisagree', `${key}: one request became ${ids.length} orders`)
  }
  for (const [key, id] of customers.answered) {
    if (byKey.get(key)?.includes(id)) continue
    found('halfDone', `${key}: the customer was promised order ${id}, which does not exist`)
  }
}

function countBy<T>(items: readonly T[], name: (item: T) => string): { state: string; count: number }[] {
  const counts = new Map<string, number>()
  for (const item of items) counts.set(name(item), (counts.get(name(item)) ?? 0) + 1)
  return [...counts].map(([state, count]) => ({ state, count })).sort((a, b) => b.count - a.count)
}

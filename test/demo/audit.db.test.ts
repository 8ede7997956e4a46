import { beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { type Anomalies, audit } from '../../examples/food-delivery/audit/audit.ts'
import { createStorage, type Storage } from '../../examples/food-delivery/run/storage.ts'
import type { Workload } from '../../examples/food-delivery/run/workload.ts'
import { loadSqlite } from '../../examples/food-delivery/shared/database.ts'
import type { ServiceName } from '../../examples/food-delivery/shared/domain.ts'

const workload: Workload = {
  orders: [],
  accounts: [{ id: 'ada', openingCents: 10_000 }],
  dishes: [{ id: 'soup', portions: 5, priceCents: 1000 }],
  couriers: ['cora'],
  *priceChanges() {},
}

/** Two orders as they should be: one delivered, one cancelled after both sides had to give back. */
const SOUND: readonly (readonly [ServiceName, string])[] = [
  [
    'order',
    `insert into orders values ('k1.a', 'k1', 'ada', 'soup', 2, 1000, 1, 2000, 'delivered', 'charged', 'accepted', 0, 0, 1, 9),
       ('k2.a', 'k2', 'ada', 'soup', 1, 1000, 1, 1000, 'cancelled', 'charged', 'sold-out', 1, 0, 2, 8)`,
  ],
  ['payment', "update account set balance_cents = 8000 where id = 'ada'"],
  [
    'payment',
    `insert into ledger (account, order_id, kind, amount_cents, at_ms) values ('ada', 'k1.a', 'charge', -2000, 3),
       ('ada', 'k2.a', 'charge', -1000, 4), ('ada', 'k2.a', 'refund', 1000, 5)`,
  ],
  ['restaurant', 'update dish set portions_left = 3'],
  [
    'restaurant',
    `insert into ticket (order_id, dish, quantity, price_cents, menu_version, state, at_ms)
       values ('k1.a', 'soup', 2, 1000, 1, 'accepted', 3), ('k2.a', 'soup', 1, 1000, 1, 'sold-out', 4)`,
  ],
  [
    'restaurant',
    "insert into menu_log (dish, kind, price_cents, order_id) values ('soup', 'accepted', 1000, 'k1.a')",
  ],
  ['delivery', "update courier set trips = 1, earned_cents = 250 where id = 'cora'"],
  ['delivery', "insert into delivery (order_id, courier, fee_cents, at_ms) values ('k1.a', 'cora', 250, 6)"],
]

const NONE: Anomalies = {
  moneyCreatedOrLost: 0,
  dishesOversold: 0,
  stockMiscounted: 0,
  chargedTwice: 0,
  outdatedPrice: 0,
  eventsLost: 0,
  halfDone: 0,
  servicesDisagree: 0,
}

describe('audit', () => {
  let storage: Storage
  beforeEach(async () => {
    storage = await createStorage('audit', workload, { postgresUrl: undefined, keepFolder: undefined })
    onTestFinished(storage.remove)
    for (const [service, statement] of SOUND) await execute(service, statement)
  })

  async function execute(service: ServiceName, statement: string): Promise<void> {
    const address = storage.addresses[service]
    if (address.kind !== 'sqlite') throw new Error('these tests use files')
    const db = (await loadSqlite())(address.path)
    db.exec(statement)
    db.close()
  }

  const look = async () => {
    const { order, payment, restaurant, delivery } = storage.addresses
    return audit(
      { order, payment, restaurant, delivery },
      {
        answered: new Map([
          ['k1', 'k1.a'],
          ['k2', 'k2.a'],
        ]),
      },
    )
  }

  it('finds nothing in sound books', async () => {
    expect(await look()).toMatchObject({
      anomalies: NONE,
      findings: [],
      stuck: [],
      ended: 2,
      delivered: 1,
      cancelled: 1,
    })
  })

  const BROKEN: readonly (readonly [string, ServiceName, string, Partial<Anomalies>])[] = [
    [
      'a balance without a ledger entry',
      'payment',
      'update account set balance_cents = balance_cents - 5',
      { moneyCreatedOrLost: 1 },
    ],
    [
      'a courier paid for no trip',
      'delivery',
      'update courier set trips = 2, earned_cents = 500',
      { moneyCreatedOrLost: 1 },
    ],
    [
      'more portions promised than there were',
      'restaurant',
      "update ticket set quantity = 7 where order_id = 'k1.a'; update dish set portions_left = -2",
      { dishesOversold: 2 },
    ],
    [
      'a stock that lost an update',
      'restaurant',
      'update dish set portions_left = 4',
      { stockMiscounted: 1 },
    ],
    [
      'a second charge that was booked soundly',
      'payment',
      `insert into ledger (account, order_id, kind, amount_cents, at_ms) values ('ada', 'k1.a', 'charge', -2000, 7);
       update account set balance_cents = balance_cents - 2000`,
      { chargedTwice: 1, servicesDisagree: 1 },
    ],
    [
      'an acceptance after the price had changed',
      'restaurant',
      `update menu_log set kind = 'price', price_cents = 1100, order_id = null where order_id = 'k1.a';
       insert into menu_log (dish, kind, price_cents, order_id) values ('soup', 'accepted', 1000, 'k1.a')`,
      { outdatedPrice: 1 },
    ],
    [
      'an order that payment and the restaurant never heard of',
      'order',
      `insert into orders values ('k3.a', 'k3', 'ada', 'soup', 1, 1000, 1, 1000, 'placed', null, null, 0, 0, 2, null)`,
      { eventsLost: 2, halfDone: 1 },
    ],
    [
      'a confirmed order whose courier never heard of it',
      'order',
      "update orders set status = 'confirmed', ended_at_ms = null where id = 'k1.a'",
      // The courier did go in these books, so it is the answer that is lost.
      { eventsLost: 1, halfDone: 1 },
    ],
    [
      'a cancelled order whose money was kept',
      'payment',
      "delete from ledger where kind = 'refund'; update account set balance_cents = 7000",
      { halfDone: 1 },
    ],
    [
      'a cancelled order whose portions were kept',
      'restaurant',
      "update ticket set state = 'accepted' where order_id = 'k2.a'; update dish set portions_left = 2",
      { halfDone: 1 },
    ],
    [
      'two trips for one order',
      'delivery',
      `insert into delivery (order_id, courier, fee_cents, at_ms) values ('k1.a', 'cora', 250, 7);
       update courier set trips = 2, earned_cents = 500`,
      { servicesDisagree: 1 },
    ],
    [
      'a promised order that does not exist',
      'order',
      "delete from orders where id = 'k2.a'",
      { halfDone: 1 },
    ],
    [
      'one key with two orders',
      'order',
      "update orders set idempotency_key = 'k1'",
      { chargedTwice: 1, servicesDisagree: 1, halfDone: 1 },
    ],
  ]

  it.each(BROKEN)('finds %s', async (_, service, statement, expected) => {
    await execute(service, statement)
    expect((await look()).anomalies).toEqual({ ...NONE, ...expected })
  })
})

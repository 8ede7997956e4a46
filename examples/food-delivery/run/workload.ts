import { seededRandom } from 'holdfast/testing'

/** One order as a customer will try to place it. */
export interface PlannedOrder {
  /** The Idempotency-Key, and the order's number in every record of the run. */
  readonly key: string
  readonly customer: string
  readonly dish: string
  readonly quantity: number
}

interface PriceChange {
  /** Made when this many orders have ended since the one before: a slow machine must not see more of them. */
  readonly afterOrders: number
  readonly dish: string
  readonly priceCents: number
}

/** Everything that follows from the seed: both runs get the same. */
export interface Workload {
  readonly orders: readonly PlannedOrder[]
  readonly accounts: readonly { readonly id: string; readonly openingCents: number }[]
  readonly dishes: readonly { readonly id: string; readonly portions: number; readonly priceCents: number }[]
  readonly couriers: readonly string[]
  /** One after the other, without end. */
  priceChanges(): Generator<PriceChange>
}

const DISHES = ['margherita', 'pad-thai', 'ramen', 'falafel', 'biryani', 'tacos', 'pho', 'gnocchi']
const ACCOUNTS = 20
const COURIERS = 6
const PRICE_CHANGE_EVERY = 18
const PORTIONS_SHARE = 0.6
const MONEY_SHARE = 0.9

/**
 * Plans a run. A few accounts and dishes are hot (a quarter of all orders meets the first of each); accounts hold less
 * than their orders cost and kitchens less than is asked for, so some orders must be refused.
 */
export function planWorkload(orderCount: number, seed: number): Workload {
  const random = seededRandom(seed)
  const skewed = (count: number): number => Math.floor(count * random() ** 2)
  const dishes = DISHES.map((id) => ({ id, priceCents: 700 + 50 * Math.floor(random() * 16) }))
  const orders = Array.from({ length: orderCount }, (_, i): PlannedOrder => {
    const dish = dishes[skewed(dishes.length)] as (typeof dishes)[number]
    return {
      key: `order-${String(i + 1).padStart(5, '0')}`,
      customer: accountId(skewed(ACCOUNTS)),
      dish: dish.id,
      quantity: 1 + Math.floor(random() * 3),
    }
  })
  const price = new Map(dishes.map((d) => [d.id, d.priceCents]))
  const cost = (o: PlannedOrder): number => o.quantity * (price.get(o.dish) ?? 0)
  return {
    orders,
    accounts: Array.from({ length: ACCOUNTS }, (_, i) => {
      const id = accountId(i)
      return {
        id,
        openingCents: Math.round(MONEY_SHARE * sum(orders.filter((o) => o.customer === id).map(cost))),
      }
    }),
    dishes: dishes.map(({ id, priceCents }) => {
      const wanted = sum(orders.filter((o) => o.dish === id).map((o) => o.quantity))
      return { id, priceCents, portions: Math.round(PORTIONS_SHARE * wanted) }
    }),
    couriers: Array.from({ length: COURIERS }, (_, i) => `courier-${i + 1}`),

    *priceChanges() {
      const next = seededRandom(seed + 1)
      const now = new Map(price)
      for (;;) {
        const dish = DISHES[Math.floor(DISHES.length * next() ** 2)] as string
        const step = 50 * (1 + Math.floor(next() * 3)) * (next() < 0.5 ? -1 : 1)
        const priceCents = Math.min(1600, Math.max(600, (now.get(dish) ?? 0) + step))
        now.set(dish, priceCents)
        yield { afterOrders: Math.round(PRICE_CHANGE_EVERY * (0.5 + next())), dish, priceCents }
      }
    },
  }
}

function accountId(index: number): string {
  return `account-${String(index + 1).padStart(2, '0')}`
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a + b, 0)
}

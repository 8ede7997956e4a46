/** What is ordered, as it follows from the seed, and the tables that it changes. */
import { chance } from '../shared/random.ts'

export interface Order {
  readonly id: string
  readonly account: string
  readonly dish: string
  readonly quantity: number
  readonly totalCents: number
}

const ACCOUNTS = 40
const DISHES = 12
const OPENING_CENTS = 60_000
const PRICE_CENTS = 900

/** Accounts hold less than their orders cost, and kitchens less than is asked for, so that some orders are refused. */
export function portionsOf(orders: number): number {
  return Math.ceil((orders * 1.7) / DISHES)
}

export function planOrders(count: number, seed: number): Order[] {
  return Array.from({ length: count }, (_, i) => {
    const pick = (what: string, among: number): number => Math.floor(chance(seed, what, i) ** 1.5 * among)
    const quantity = 1 + pick('quantity', 3)
    return {
      id: `order-${String(i).padStart(5, '0')}`,
      account: `account-${pick('account', ACCOUNTS)}`,
      dish: `dish-${pick('dish', DISHES)}`,
      quantity,
      totalCents: quantity * PRICE_CENTS,
    }
  })
}

export function paymentTables(): string[] {
  return [
    'create table account (id text primary key, opening_cents int not null, balance_cents int not null)',
    'create table ledger (order_id text not null, account text not null, amount_cents int not null)',
    ...Array.from({ length: ACCOUNTS }, (_, i) => {
      return `insert into account values ('account-${i}', ${OPENING_CENTS}, ${OPENING_CENTS})`
    }),
  ]
}

export function restaurantTables(portions: number): string[] {
  return [
    'create table dish (id text primary key, portions_total int not null, portions_left int not null)',
    'create table ticket (order_id text not null, dish text not null, quantity int not null)',
    ...Array.from(
      { length: DISHES },
      (_, i) => `insert into dish values ('dish-${i}', ${portions}, ${portions})`,
    ),
  ]
}

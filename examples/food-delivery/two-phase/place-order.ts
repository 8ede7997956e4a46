/** One order, over both databases: the same two changes, committed in three ways. */
import { randomUUID } from 'node:crypto'
import { type OwnTransaction, type Store, sql } from 'holdfast'
import { failpoint } from 'holdfast/testing'
import type { TwoPhase } from 'holdfast/two-phase'
import type { Order } from './orders.ts'

export type Mode = 'naive' | 'holdfast' | 'without-decision'

export interface Databases {
  readonly payment: Store
  readonly restaurant: Store
}

/** The business says no; nothing of the order is to stay. */
export class Refused extends Error {}

async function charge(tx: OwnTransaction, { id, account, totalCents }: Order): Promise<void> {
  const [row] = await tx.lockRows<{ balance_cents: number }>('account', { id: account })
  if ((row?.balance_cents ?? 0) < totalCents) throw new Refused('not enough money')
  await tx.execute(
    sql`update account set balance_cents = balance_cents - ${totalCents} where id = ${account}`,
  )
  await tx.execute(
    sql`insert into ledger (order_id, account, amount_cents) values (${id}, ${account}, ${-totalCents})`,
  )
}

async function reserve(tx: OwnTransaction, { id, dish, quantity }: Order): Promise<void> {
  const [row] = await tx.lockRows<{ portions_left: number }>('dish', { id: dish })
  if ((row?.portions_left ?? 0) < quantity) throw new Refused('sold out')
  await tx.execute(sql`update dish set portions_left = portions_left - ${quantity} where id = ${dish}`)
  await tx.execute(sql`insert into ticket (order_id, dish, quantity) values (${id}, ${dish}, ${quantity})`)
}

/** Money and portions, or neither. */
export async function placeWithHoldfast(
  { payment, restaurant }: Databases,
  twoPhase: TwoPhase,
  order: Order,
): Promise<void> {
  await twoPhase([payment, restaurant], async ([p, r]) => {
    await charge(p, order)
    await reserve(r, order)
  })
}

/** As it is first written: one commit after the other, and the first is given back when the second is refused. */
export async function placeNaively({ payment, restaurant }: Databases, order: Order): Promise<void> {
  await payment.transaction((tx) => charge(tx, order))
  await failpoint('demo.between')
  try {
    await restaurant.transaction((tx) => reserve(tx, order))
  } catch (error) {
    if (!(error instanceof Refused)) throw error
    await failpoint('demo.giving-back')
    await payment.transaction(async (tx) => {
      const { account, totalCents, id } = order
      await tx.execute(
        sql`update account set balance_cents = balance_cents + ${totalCents} where id = ${account}`,
      )
      await tx.execute(sql`delete from ledger where order_id = ${id}`)
    })
    throw error
  }
}

/** Both prepare, both commit, and nowhere is written what was decided. */
export async function placeWithoutDecision({ payment, restaurant }: Databases, order: Order): Promise<void> {
  const id = randomUUID()
  const shares = [await prepared(payment).prepare(`demo:${id}:payment`, (tx) => charge(tx, order))]
  try {
    shares.push(await prepared(restaurant).prepare(`demo:${id}:restaurant`, (tx) => reserve(tx, order)))
  } catch (error) {
    for (const share of shares) await share.rollback()
    throw error
  }
  for (const [i, share] of shares.entries()) {
    if (i > 0) await failpoint('demo.between-commits')
    await share.commit()
  }
}

/** What its recovery can do: it does not know what was decided, so it takes back what is left. */
export async function recoverWithoutDecision({ payment, restaurant }: Databases): Promise<void> {
  for (const store of [payment, restaurant]) {
    for (const { gid, ageMs } of await prepared(store).list('demo:')) {
      if (ageMs > 1_000) await prepared(store).rollback(gid)
    }
  }
}

function prepared(store: Store) {
  if (store.prepared === undefined) throw new Error('the store has no prepared transactions')
  return store.prepared
}

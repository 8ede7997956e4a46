import { type OwnTransaction, sql } from 'holdfast'
import type { OrderEvent } from '../shared/domain.ts'
import type { HoldfastService } from './context.ts'
import { startKitchen, type Ticket } from './kitchen.ts'
import { readMenu, updatedAt } from './menu.ts'

type Verdict = 'accepted' | 'sold-out' | 'price-changed'

/** Keeps the menu and the stock and takes orders into the kitchen. */
export const restaurant: HoldfastService = ({ read, transaction, publish, on, without }) => {
  on<OrderEvent>('orders', 'restaurant', async (tx, event) => {
    const { orderId } = event
    if (event.kind === 'placed') {
      await tx.execute(
        sql`insert into ticket (order_id, dish, quantity, price_cents, menu_version, state, at_ms)
          values (${orderId}, ${event.dish}, ${event.quantity}, ${event.priceCents}, ${event.menuVersion},
            'new', ${Date.now()})`,
      )
      tx.afterCommit(() => kitchen.wake())
    } else if (event.returnStock) {
      const [ticket] = await tx.lockRows<Ticket>('ticket', { order_id: orderId, state: 'accepted' })
      if (ticket === undefined) return
      const left = await readPortions(tx, ticket.dish, undefined)
      await tx.execute(
        sql`update dish set portions_left = ${left + ticket.quantity} where id = ${ticket.dish}`,
      )
      await tx.execute(sql`update ticket set state = 'returned' where id = ${ticket.id}`)
      await publish(tx, 'answers', { kind: 'returned', orderId })
    }
  })

  const kitchen = startKitchen(read, {
    /** What the cook sees on the board before thinking; by the time of the decision it may be old. */
    async look({ dish }) {
      const [row] = await read<{ portions_left: number }>(
        sql`select portions_left from dish where id = ${dish}`,
      )
      return Number(row?.portions_left)
    },

    decide: (ticket, seenPortions) =>
      transaction(async (tx) => {
        const [current] = await tx.lockRows<Ticket>('ticket', { id: ticket.id })
        if (current?.state !== 'new') return
        const verdict = await judge(tx, ticket, seenPortions)
        await tx.execute(
          sql`update ticket set state = ${verdict}, at_ms = ${Date.now()} where id = ${ticket.id}`,
        )
        await publish(tx, 'answers', { kind: verdict, orderId: ticket.order_id })
      }),
  })

  async function judge(tx: OwnTransaction, ticket: Ticket, seenPortions: number): Promise<Verdict> {
    const { dish, quantity } = ticket
    const left = await readPortions(tx, dish, seenPortions)
    if (left < quantity) return 'sold-out'
    if (!(await sellAtSeenPrice(tx, ticket))) return 'price-changed'
    await tx.execute(sql`update dish set portions_left = ${left - quantity} where id = ${dish}`)
    return 'accepted'
  }

  /** The row stays locked until the end of the transaction, so what was read is still true when it is written. */
  async function readPortions(tx: OwnTransaction, dish: string, seen: number | undefined): Promise<number> {
    if (without === 'lock' && seen !== undefined) return seen
    const [row] = await tx.lockRows('dish', { id: dish })
    return Number(row?.portions_left)
  }

  /**
   * The menu as the customer saw it is the condition of the sale: the write happens only at that version. Other sales
   * raise the version too, so a conflict is looked at again; it is the price that must be the same.
   */
  async function sellAtSeenPrice(tx: OwnTransaction, ticket: Ticket): Promise<boolean> {
    const { dish, order_id, price_cents } = ticket
    const changes = { last_order: order_id }
    if (without === 'version') {
      await tx.execute(sql`update menu set last_order = ${order_id} where dish = ${dish}`)
    } else {
      let version = BigInt(ticket.menu_version)
      while (!(await updatedAt(tx, dish, version, changes))) {
        const menu = await readMenu(tx, dish)
        if (menu.priceCents !== price_cents) return false
        version = menu.version
      }
    }
    await tx.execute(
      sql`insert into menu_log (dish, kind, price_cents, order_id)
        values (${dish}, 'accepted', ${price_cents}, ${order_id})`,
    )
    return true
  }

  return {
    routes: {
      async 'GET /menu'() {
        const rows = await read<{ dish: string; price_cents: number; version: string }>(
          sql`select * from menu`,
        )
        const menu = rows.map((row) => ({
          dish: row.dish,
          priceCents: row.price_cents,
          version: Number(row.version),
        }))
        return { status: 200, body: menu }
      },

      async 'PUT /menu/:name'({ name: dish, body }) {
        const { priceCents } = body as { priceCents: number }
        await transaction(async (tx) => {
          let { version } = await readMenu(tx, dish)
          while (!(await updatedAt(tx, dish, version, { price_cents: priceCents }))) {
            version = (await readMenu(tx, dish)).version
          }
          await tx.execute(
            sql`insert into menu_log (dish, kind, price_cents) values (${dish}, 'price', ${priceCents})`,
          )
        })
        return { status: 200, body: {} }
      },
    },
    inHand: kitchen.inHand,
    stop: kitchen.stop,
  }
}

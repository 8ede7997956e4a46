import { setTimeout as sleep } from 'node:timers/promises'
import { kitchenMs, type OrderEvent } from '../shared/domain.ts'
import type { NaiveService } from './context.ts'

/** Keeps the menu and the stock and takes orders into the kitchen, the way it is first written. */
export const restaurant: NaiveService = async ({ query, publish, on }) => {
  await on<OrderEvent>('orders', 'restaurant', async (event) => {
    const { orderId } = event
    if (event.kind === 'placed') {
      const left = await readPortions(event.dish)
      const [menu] = await query<{ price_cents: number }>(
        'select price_cents from menu where dish = ?',
        event.dish,
      )
      await sleep(kitchenMs(orderId))
      const state =
        menu?.price_cents !== event.priceCents
          ? 'price-changed'
          : left < event.quantity
            ? 'sold-out'
            : 'accepted'
      await query(
        `insert into ticket (order_id, dish, quantity, price_cents, menu_version, state, at_ms)
         values (?, ?, ?, ?, ?, ?, ?)`,
        orderId,
        event.dish,
        event.quantity,
        event.priceCents,
        event.menuVersion,
        state,
        Date.now(),
      )
      if (state === 'accepted') {
        await query('update dish set portions_left = ? where id = ?', left - event.quantity, event.dish)
        await query(
          "insert into menu_log (dish, kind, price_cents, order_id) values (?, 'accepted', ?, ?)",
          event.dish,
          event.priceCents,
          orderId,
        )
      }
      await publish('answers', { kind: state, orderId })
    } else if (event.returnStock) {
      const [ticket] = await query<{ dish: string; quantity: number }>(
        "select dish, quantity from ticket where order_id = ? and state = 'accepted'",
        orderId,
      )
      if (ticket === undefined) return
      const left = await readPortions(ticket.dish)
      await query('update dish set portions_left = ? where id = ?', left + ticket.quantity, ticket.dish)
      await query("update ticket set state = 'returned' where order_id = ?", orderId)
      await publish('answers', { kind: 'returned', orderId })
    }
  })

  async function readPortions(dish: string): Promise<number> {
    const [row] = await query<{ portions_left: number }>('select portions_left from dish where id = ?', dish)
    return Number(row?.portions_left)
  }

  return {
    async 'GET /menu'() {
      const rows = await query<{ dish: string; price_cents: number; version: number }>('select * from menu')
      const menu = rows.map((row) => ({
        dish: row.dish,
        priceCents: row.price_cents,
        version: Number(row.version),
      }))
      return { status: 200, body: menu }
    },

    async 'PUT /menu/:name'({ name, body }) {
      const { priceCents } = body as { priceCents: number }
      const [row] = await query<{ version: number }>('select version from menu where dish = ?', name)
      await query(
        'update menu set price_cents = ?, version = ? where dish = ?',
        priceCents,
        Number(row?.version) + 1,
        name,
      )
      await query("insert into menu_log (dish, kind, price_cents) values (?, 'price', ?)", name, priceCents)
      return { status: 200, body: {} }
    },
  }
}

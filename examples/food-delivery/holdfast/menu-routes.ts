import { sql } from 'holdfast'
import { changePrice } from '../business/menu.ts'
import type { Routes } from '../shared/http.ts'
import type { Holdfast } from './context.ts'

/** What customers read, and what the manager changes. */
export function menuRoutes({ read, transaction }: Pick<Holdfast, 'read' | 'transaction'>): Routes {
  return {
    async 'GET /menu'() {
      const rows = await read<{ dish: string; price_cents: number; version: string }>(sql`select * from menu`)
      const menu = rows.map((row) => ({
        dish: row.dish,
        priceCents: row.price_cents,
        version: Number(row.version),
      }))
      return { status: 200, body: menu }
    },

    async 'PUT /menu/:name'({ name: dish, body }) {
      const { priceCents } = body as { priceCents: number }
      await transaction((tx) => changePrice(tx, dish, priceCents))
      return { status: 200, body: {} }
    },
  }
}

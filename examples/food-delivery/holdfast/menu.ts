import { type OwnTransaction, sql } from 'holdfast'

export interface Menu {
  readonly priceCents: number
  readonly version: bigint
}

export async function readMenu(tx: OwnTransaction, dish: string): Promise<Menu> {
  const [row] = await tx.query<{ price_cents: number; version: string }>(
    sql`select price_cents, version from menu where dish = ${dish}`,
  )
  return { priceCents: Number(row?.price_cents), version: BigInt(row?.version ?? 0) }
}

/** False when the row has another version by now; then nothing was written. */
export async function updatedAt(
  tx: OwnTransaction,
  dish: string,
  version: bigint,
  changes: { price_cents: number } | { last_order: string },
): Promise<boolean> {
  const set =
    'price_cents' in changes
      ? sql`price_cents = ${changes.price_cents}`
      : sql`last_order = ${changes.last_order}`
  return (
    (await tx.execute(
      sql`update menu set ${set}, version = version + 1 where dish = ${dish} and version = ${version}`,
    )) === 1
  )
}

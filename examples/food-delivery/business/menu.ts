import { type OwnTransaction, sql } from 'holdfast'
import { readVersioned, updateVersioned } from 'holdfast/version'

interface MenuRow {
  readonly price_cents: number
}

/** The price of a dish with the version of its row. Other sales raise the version too. */
export async function readMenu(
  tx: OwnTransaction,
  dish: string,
): Promise<{ priceCents: number; version: bigint }> {
  const menu = await readVersioned<MenuRow>(tx, 'menu', { dish })
  if (menu === undefined) throw new Error(`${dish} is not on the menu`)
  return { priceCents: menu.row.price_cents, version: menu.version as bigint }
}

/** Writes the row if it still has that version. False when it has another one by now; then nothing was written. */
export async function updatedAt(
  tx: OwnTransaction,
  dish: string,
  version: bigint,
  changes: { readonly price_cents: number } | { readonly last_order: string },
): Promise<boolean> {
  try {
    await updateVersioned(tx, 'menu', { dish }, version, changes)
    return true
  } catch (error) {
    if ((error as { code?: string }).code === 'VERSION_CONFLICT') return false
    throw error
  }
}

/** Sets a price, whatever is sold meanwhile, and logs it. */
export async function changePrice(tx: OwnTransaction, dish: string, priceCents: number): Promise<void> {
  let { version } = await readMenu(tx, dish)
  while (!(await updatedAt(tx, dish, version, { price_cents: priceCents }))) {
    version = (await readMenu(tx, dish)).version
  }
  await tx.execute(
    sql`insert into menu_log (dish, kind, price_cents) values (${dish}, 'price', ${priceCents})`,
  )
}

import { expect, it } from 'vitest'
import { planWorkload } from '../../examples/food-delivery/run/workload.ts'

it('plans the same from the same seed, and something else from another', () => {
  const firstPrices = (seed: number) => {
    const prices = planWorkload(10, seed).priceChanges()
    return Array.from({ length: 20 }, () => prices.next().value)
  }
  const plan = (seed: number) => ({ ...planWorkload(100, seed), priceChanges: firstPrices(seed) })
  expect(plan(3)).toEqual(plan(3))
  expect(plan(3)).not.toEqual(plan(4))
})

it('asks for more portions than there are, and for more money than the accounts hold', () => {
  const { orders, dishes, accounts } = planWorkload(1000, 1)
  for (const { id, portions } of dishes) {
    const wanted = orders.filter((o) => o.dish === id).reduce((sum, o) => sum + o.quantity, 0)
    expect(wanted).toBeGreaterThan(portions)
  }
  for (const { id, openingCents } of accounts) {
    const cost = orders
      .filter((o) => o.customer === id)
      .reduce((sum, o) => sum + o.quantity * (dishes.find((d) => d.id === o.dish)?.priceCents ?? 0), 0)
    expect(cost).toBeGreaterThan(openingCents)
  }
})

it('gives every order a key of its own', () => {
  const { orders } = planWorkload(500, 2)
  expect(new Set(orders.map((o) => o.key)).size).toBe(500)
})

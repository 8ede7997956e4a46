/** How two versions relate: what `a` is to `b`. Concurrent: neither has seen all that the other has. */
export type CausalOrder = 'before' | 'after' | 'equal' | 'concurrent'

/** The order of `a` to `b` when it is known which of them has something that the other lacks. */
export function orderOf(aHasMore: boolean, bHasMore: boolean): CausalOrder {
  if (aHasMore) return bHasMore ? 'concurrent' : 'after'
  return bHasMore ? 'before' : 'equal'
}

/** Puts the orders of two halves of a state together: a counter's ups and downs, say. */
export function bothOrders(x: CausalOrder, y: CausalOrder): CausalOrder {
  if (x === 'equal' || x === y) return y
  return y === 'equal' ? x : 'concurrent'
}

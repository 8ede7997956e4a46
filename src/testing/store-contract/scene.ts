import { type Store, sql } from '../../store/index.ts'

export interface StoreUnderTest {
  readonly store: Store
  /** A second store on the same database, with connections of its own. */
  readonly other: Store
  close(): Promise<void>
}

/** What the tests of all sections stand on: two stores on a database of the test's own, and `item(id, amount)` in it. */
export interface StoreScene {
  readonly store: Store
  readonly other: Store
  /** Of the rows in `item`, as other connections see them, in order. */
  ids(): Promise<string[]>
}

export function put(tx: Pick<Store, 'execute'>, id: string, amount: number | bigint = 1): Promise<number> {
  return tx.execute(sql`insert into item (id, amount) values (${id}, ${amount})`)
}

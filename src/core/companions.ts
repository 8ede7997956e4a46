/** What a driver's query object sends along with its own statement, in one flight: BEGIN before it, COMMIT behind it. */
export interface Companions {
  readonly before: string | undefined
  readonly after: string | undefined
}

/** Where such a query object says so, for those who watch what a connection sends and would see the statement alone. */
export const COMPANIONS: unique symbol = Symbol('holdfast.companions')

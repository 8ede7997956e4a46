/**
 * The part of `pg` that this adapter calls. The application brings the driver.
 *
 * `any` stands where pg's own types do, since a structural match on its overloads is not possible.
 */
export interface PgPoolLike {
  connect(): Promise<PgClientLike>
  on?(event: 'error', listener: (error: Error) => void): unknown
  listenerCount?(event: 'error'): number
  // biome-ignore lint/suspicious/noExplicitAny: pg's Pool carries its Client class and options without public types
  readonly Client?: any
  // biome-ignore lint/suspicious/noExplicitAny: see above
  readonly options?: any
}

export interface PgClientLike {
  // biome-ignore lint/suspicious/noExplicitAny: pg overloads `query` over callbacks, configs and submittables
  query(config: any, values?: any): Promise<PgResultLike>
  release(error?: Error | boolean): void
  on(event: 'error', listener: (error: Error) => void): unknown
  /** The server process of this connection; behind a transaction-pooling proxy, the proxy's number for it. */
  readonly processID?: number
  /** 'I' idle, 'T' in a transaction, 'E' in a failed one; absent before pg 8.18. */
  getTransactionStatus?(): string | null
}

export interface PgResultLike {
  readonly command: string
  readonly rowCount: number | null
  readonly rows: unknown[]
}

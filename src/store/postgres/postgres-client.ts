/**
 * The part of `pg` that this adapter calls. The application brings the driver.
 *
 * `any` stands where pg's own types do, since a structural match on its overloads is not possible.
 */
export interface PgPoolLike {
  connect(): Promise<PgClientLike>
  on?(event: 'error', listener: (error: Error) => void): unknown
  listenerCount?(event: 'error'): number
  /** `max` is the most connections that the pool opens. */
  readonly options?: { readonly max?: number | undefined }
  /** How many wait for a connection. */
  readonly waitingCount?: number
  // biome-ignore lint/suspicious/noExplicitAny: pg's Pool carries its Client class without public types
  readonly Client?: any
}

export interface PgClientLike {
  // biome-ignore lint/suspicious/noExplicitAny: pg overloads `query` over callbacks, configs and submittables
  query(config: any, values?: any): any
  release(error?: Error | boolean): void
  on(event: 'error', listener: (error: Error) => void): unknown
  /** 'I' idle, 'T' in a transaction, 'E' in a failed one; absent before pg 8.18. */
  getTransactionStatus?(): string | null
  /** What a cancel request needs: the key of this connection, and where the server listens. */
  readonly processID?: number
  // biome-ignore lint/suspicious/noExplicitAny: not in pg's types
  readonly secretKey?: any
  readonly host?: string
  readonly port?: number
  // biome-ignore lint/suspicious/noExplicitAny: false, true, or the options of tls.connect
  readonly ssl?: any
}

export interface PgResultLike {
  readonly command: string
  readonly rowCount: number | null
  readonly rows: unknown[]
}

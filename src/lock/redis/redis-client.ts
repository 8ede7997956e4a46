/** The part of an `ioredis` client that the engine calls. The application brings it. */
export interface RedisLike {
  readonly options?: { readonly keyPrefix?: string | undefined }
  evalsha(sha: string, keys: number, ...args: (string | number)[]): Promise<unknown>
  eval(script: string, keys: number, ...args: (string | number)[]): Promise<unknown>
  scan(
    cursor: string,
    match: 'MATCH',
    pattern: string,
    count: 'COUNT',
    n: number,
  ): Promise<[string, string[]]>
  duplicate(): RedisSubscriberLike
}

/** A connection of its own, opened by the engine for the first waiter and closed with it. */
export interface RedisSubscriberLike {
  subscribe(channel: string): Promise<unknown>
  // biome-ignore lint/suspicious/noExplicitAny: ioredis declares one overload per event
  on(event: string, listener: (...args: any[]) => void): unknown
  disconnect(): void
}

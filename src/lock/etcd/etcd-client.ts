/** The parts of an `etcd3` client that the engine calls. The application brings it. */
export interface EtcdLike {
  readonly kv: {
    // biome-ignore lint/suspicious/noExplicitAny: the driver's requests are generated types with enums
    txn(request: any, options?: any): Promise<EtcdTxnResponse>
    // biome-ignore lint/suspicious/noExplicitAny: see above
    range(request: any, options?: any): Promise<EtcdRangeResponse>
  }
  readonly leaseClient: {
    // biome-ignore lint/suspicious/noExplicitAny: see above
    leaseGrant(request: any, options?: any): Promise<{ TTL: string }>
    // biome-ignore lint/suspicious/noExplicitAny: see above
    leaseRevoke(request: any, options?: any): Promise<unknown>
    // biome-ignore lint/suspicious/noExplicitAny: see above
    leaseTimeToLive(request: any, options?: any): Promise<{ TTL: string; grantedTTL: string }>
    leaseKeepAlive(): Promise<EtcdKeepAliveStream>
  }
  watch(): EtcdWatchBuilder
}

export interface EtcdWatchBuilder {
  key(key: string): EtcdWatchBuilder
  startRevision(revision: string): EtcdWatchBuilder
  watcher(): EtcdWatcher
}

export interface EtcdWatcher {
  // biome-ignore lint/suspicious/noExplicitAny: the driver declares one overload per event
  on(event: any, listener: () => void): unknown
  cancel(): Promise<unknown>
}

export interface EtcdKeepAliveStream {
  // biome-ignore lint/suspicious/noExplicitAny: the driver declares one overload per event
  on(event: any, listener: (item: any) => void): unknown
  // biome-ignore lint/suspicious/noExplicitAny: see above
  write(request: any): void
  end(): void
}

export interface EtcdRangeResponse {
  readonly header: { readonly revision: string }
  readonly kvs: readonly { readonly key: Buffer; readonly value: Buffer; readonly create_revision: string }[]
}

export interface EtcdTxnResponse {
  readonly header: { readonly revision: string }
  readonly responses: readonly { readonly response_range?: EtcdRangeResponse }[]
}

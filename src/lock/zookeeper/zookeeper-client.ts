/** The part of a `node-zookeeper-client` client that the engine calls. The application makes it. */
export interface ZookeeperLike {
  connect(): void
  close(): void
  getSessionTimeout(): number
  // biome-ignore lint/suspicious/noExplicitAny: the driver declares one overload per event
  on(event: any, listener: (...args: any[]) => void): unknown
  create(path: string, data: Buffer, mode: number, callback: Callback<string>): void
  mkdirp(path: string, callback: Callback<string>): void
  remove(path: string, callback: Callback<void>): void
  getChildren(path: string, callback: Callback<string[]>): void
  exists(path: string, callback: Callback<ZookeeperStat | null>): void
  exists(path: string, watcher: () => void, callback: Callback<ZookeeperStat | null>): void
}

export interface ZookeeperStat {
  readonly czxid: Buffer
  readonly ctime: Buffer
}

// biome-ignore lint/suspicious/noExplicitAny: errors carry codes under names that differ between the driver's versions
type Callback<T> = (error: any, value: T) => void

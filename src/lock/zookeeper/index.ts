export type { ZookeeperLike, ZookeeperStat } from './zookeeper-client.ts'
export { type ZookeeperLocksOptions, zookeeperLocks } from './zookeeper-engine.ts'

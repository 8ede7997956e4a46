export type { RedisLike, RedisSubscriberLike } from './redis-client.ts'
export { type RedisLocksOptions, redisLocks } from './redis-engine.ts'
export { type RedisGuard, redisGuard } from './redis-guard.ts'

export type { GroupFigures } from './figures.ts'
export { type StoreQueue, type StoreQueueOptions, storeQueue } from './store-queue.ts'
export { queueTables } from './tables.ts'

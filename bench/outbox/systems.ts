import { control } from './control.ts'
import { graphileWorker } from './graphile-worker.ts'
import { holdfast, holdfastNotify } from './holdfast.ts'
import { pgBossNotify, pgBossPolling } from './pg-boss.ts'
import { pgTransactionalOutbox } from './pg-transactional-outbox.ts'
import type { OutboxSystem } from './system.ts'

export {
  control,
  graphileWorker,
  holdfast,
  holdfastNotify,
  pgBossNotify,
  pgBossPolling,
  pgTransactionalOutbox,
}

export const PEERS: readonly OutboxSystem[] = [
  pgBossPolling,
  pgBossNotify,
  graphileWorker,
  pgTransactionalOutbox,
]
export const SYSTEMS: readonly OutboxSystem[] = [holdfast, holdfastNotify, control, ...PEERS]

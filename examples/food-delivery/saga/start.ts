import { fenceTables } from 'holdfast/fence'
import { sagaTables } from 'holdfast/saga'
import { type RuntimeOptions, startRuntime } from '../holdfast/runtime.ts'
import type { ServiceName } from '../shared/domain.ts'
import type { Service } from '../shared/service.ts'
import type { SagaService } from './context.ts'
import { delivery } from './delivery.ts'
import { order } from './order.ts'
import { payment } from './payment.ts'
import { restaurant } from './restaurant.ts'
import type { SagaMechanism } from './without.ts'

const SERVICES: Readonly<Record<ServiceName, SagaService>> = { order, payment, restaurant, delivery }

export interface SagaVersionOptions extends Pick<RuntimeOptions, 'database' | 'broker' | 'losesCommit'> {
  readonly without: SagaMechanism | undefined
  readonly fetch: typeof fetch
}

/** Starts a service of the version with sagas. */
export async function startSaga(name: ServiceName, options: SagaVersionOptions): Promise<Service> {
  const { without, fetch, ...given } = options
  const runtime = await startRuntime({ ...given, tables: [sagaTables, fenceTables] })
  const service = SERVICES[name]({ ...runtime, fetch, without })
  return {
    routes: service.routes,
    ...(service.handlers === undefined ? {} : { handlers: service.handlers }),
    inHand: async () => (await runtime.inHand()) + ((await service.inHand?.()) ?? 0),
    async stop() {
      await service.stop?.()
      await runtime.stop()
    },
  }
}

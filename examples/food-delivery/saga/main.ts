/** `holdfast demo --flow saga`: the same orders, each of them one saga in the order service. */
import { runDemo } from '../demo.ts'
import type { Io } from '../main.ts'
import { type Edition, helpOf } from '../options.ts'
import { SAGA_MECHANISMS, SAGA_PREVENTS, type SagaMechanism } from './without.ts'

const ORDERS = 500

const SAGAS: Edition<SagaMechanism> = {
  help: helpOf({
    title: `holdfast demo --flow saga: the same orders under the same faults, each of them one saga in the order service

The saga calls payment over HTTP, and restaurant and delivery by message. The order service has two processes: besides being
killed they are stopped now and then for longer than their leases, and go on when the other one has taken over.`,
    usage: 'holdfast demo --flow saga',
    orders: ORDERS,
    mechanisms: SAGA_MECHANISMS,
    examples: ['holdfast demo --flow saga --orders 150', 'holdfast demo --flow saga --without barrier'],
  }),
  helpCommand: 'holdfast demo --flow saga --help',
  orders: ORDERS,
  version: (without) => ({ name: 'saga', without }),
  prevents: SAGA_PREVENTS,
}

export function main(argv: readonly string[], io: Io, signal: AbortSignal): Promise<number> {
  return runDemo(SAGAS, argv, io, signal)
}

/** Replicas less one mechanism, so that the audit can show what each is there for. */
import type { Broker } from 'holdfast/broker'
import type { PeerLink } from 'holdfast/replica'

/**
 * `vector`: what arrives says only that it has seen what it holds, so nothing tells that older versions were replaced.
 * `siblings`: of several versions that stand, one arrives. `pulls`: nobody catches up but by the broker.
 */
export const MISSING = ['vector', 'siblings', 'pulls'] as const
export type Missing = (typeof MISSING)[number]

interface State {
  readonly context: readonly (readonly [string, number])[]
  readonly alive: readonly (readonly [string, number, unknown])[]
}

function spoil(state: State, without: Missing): State {
  if (without === 'siblings') return { ...state, alive: state.alive.slice(-1) }
  if (without === 'vector') {
    const context = state.context.filter(([replica]) => state.alive.some(([writer]) => writer === replica))
    return { ...state, context }
  }
  return state
}

export function spoilBroker(broker: Broker, without: Missing | undefined): Broker {
  if (without === undefined) return broker
  return {
    ...broker,
    publish: (batch, options) => broker.publish(batch, options),
    subscribe: (subscription, deliver) =>
      broker.subscribe(subscription, (delivery) => {
        const change = JSON.parse(delivery.message.payload) as { state?: State }
        const payload = change.state ? { ...change, state: spoil(change.state, without) } : change
        deliver({
          message: { ...delivery.message, payload: JSON.stringify(payload) },
          redelivered: delivery.redelivered,
          ack: () => delivery.ack(),
          release: () => delivery.release(),
        })
      }),
  }
}

export function spoilLink(link: PeerLink, without: Missing | undefined): PeerLink {
  if (without === undefined) return link
  return {
    async ask(question, options) {
      const answer = (await link.ask(question, options)) as { states?: [string, string, State][] }
      if (answer.states === undefined) return answer
      return {
        ...answer,
        states: answer.states.map(([name, key, state]) => [name, key, spoil(state, without)]),
      }
    },
  }
}

export type { ListenClient, OpenListenClient } from '../store/listener.ts'
export { describeError, type NewDeadLetter, putDeadLetter } from './dead-letter.ts'
export {
  type DeadLetter,
  type DeadLetterChange,
  type DeadLetterFilter,
  type DeadLetters,
  deadLetters,
} from './dead-letters.ts'
export { RelayStoppedError } from './errors.ts'
export type { OutboundMessage, PayloadOf, TopicName, TopicOptions, Topics } from './message.ts'
export { createOutbox, type Outbox, type OutboxFigures, type Published } from './outbox.ts'
export type { OutboxOptions } from './outbox-options.ts'
export type { Relay } from './relay.ts'
export type { RelayFigures } from './relay-figures.ts'
export type { RelayOptions } from './relay-options.ts'
export { deadLetterTables, outboxTables } from './tables.ts'

export { type DirectBrokerOptions, directBroker } from './direct-broker.ts'

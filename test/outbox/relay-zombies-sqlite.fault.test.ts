import { describeRelayZombies } from './relay-processes.ts'

describeRelayZombies('sqlite')

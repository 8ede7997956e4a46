import { describeRelayZombies } from './relay-processes.ts'

describeRelayZombies('postgres')

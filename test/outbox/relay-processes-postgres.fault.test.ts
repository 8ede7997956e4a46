import { describeRelayProcesses } from './relay-processes.ts'

describeRelayProcesses('postgres')

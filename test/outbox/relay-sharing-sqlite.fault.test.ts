import { describeRelaySharing } from './relay-processes.ts'

describeRelaySharing('sqlite')

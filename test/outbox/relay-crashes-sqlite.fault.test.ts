import { describeRelayCrashes } from './relay-processes.ts'

describeRelayCrashes('sqlite')

import { checkArguments, show } from '../../core/options.ts'
import type { Anomaly } from '../verdict.ts'
import { drawCycle } from './draw-cycle.ts'
import { drawTimeline } from './draw-timeline.ts'

/**
 * An anomaly as a self-contained SVG: its cycle where it has one, else its operations in time. Empty for an anomaly
 * that has neither.
 */
export function drawAnomaly(anomaly: Anomaly): string {
  checkArguments(
    'drawAnomaly',
    Array.isArray(anomaly?.operations) || `anomaly must be one of a verdict, got ${show(anomaly)}`,
  )
  return anomaly.cycle === undefined ? drawTimeline(anomaly) : drawCycle(anomaly)
}

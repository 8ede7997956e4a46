/** The words that both versions of the system share: services, orders, and the messages between them. */

export const SERVICES = ['order', 'payment', 'restaurant', 'delivery'] as const
export type ServiceName = (typeof SERVICES)[number]

/** What a courier earns for one trip, in cents. */
export const TRIP_FEE_CENTS = 250

/** The body of `POST /orders`: what the customer saw on the menu is part of the order. */
export interface PlaceOrder {
  readonly customer: string
  readonly dish: string
  readonly quantity: number
  readonly priceCents: number
  readonly menuVersion: number
}

/** One line of `GET /menu`. */
export interface MenuItem {
  readonly dish: string
  readonly priceCents: number
  readonly version: number
}

/** Topic `orders`, from the order service to payment and restaurant. */
export type OrderEvent =
  | ({ readonly kind: 'placed'; readonly orderId: string; readonly totalCents: number } & PlaceOrder)
  | {
      readonly kind: 'cancelled'
      readonly orderId: string
      readonly refund: boolean
      readonly returnStock: boolean
    }

/** Topic `dispatch`, from the order service to delivery. */
export interface DispatchEvent {
  readonly kind: 'confirmed'
  readonly orderId: string
}

/** Topic `answers`, from the other three back to the order service. */
export interface AnswerEvent {
  readonly kind:
    | 'charged'
    | 'declined'
    | 'accepted'
    | 'sold-out'
    | 'price-changed'
    | 'refunded'
    | 'returned'
    | 'delivered'
  readonly orderId: string
}

export type Topic = 'orders' | 'dispatch' | 'answers'
export type Event = OrderEvent | DispatchEvent | AnswerEvent

/** How long the kitchen looks at a ticket before it answers: 2 to 12 ms, the same for an order in every run. */
export function kitchenMs(orderId: string): number {
  let sum = 0
  for (const character of orderId.split('.')[0] ?? '') sum = (sum * 31 + character.charCodeAt(0)) % 1009
  return 2 + (sum % 11)
}

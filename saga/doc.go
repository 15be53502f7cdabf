// Package saga is what a saga is: its definition, its events, and the rules by which it moves.
//
// A saga is a plan of steps, each with an undo. Its whole life is a log of events; everything else, its
// state, its position, who may move it, is folded from that log. This package holds the plan, the events and
// the decisions. It does no input or output, reads no clock, starts no goroutine and mints no random number:
// time, delays and ids are arguments. So every decision can be tested by table and by simulation, and the
// engine around it stays thin.
//
//	type Order struct {
//		SKU         string `json:"sku"`
//		Reservation string `json:"reservation,omitempty"`
//	}
//
//	def, err := saga.Define("place-order", 1,
//		saga.Step("reserve-stock", reserve).Compensate(release),
//		saga.Step("charge-card", charge).Compensate(refund),
//		saga.Step("ship", ship),
//	)
//
// where each handler is a func(ctx context.Context, o *Order) error.
//
// # What it guarantees
//
//   - A handler that fails, panics or is cut off changes nothing in the saga's state.
//   - Steps run at least once; state transitions happen exactly once. The idempotency key that
//     [FromContext] hands to a step is the same for every attempt and after every crash.
//   - When a step fails for good, the saga is cancelled, or its deadline passes, the completed steps are
//     undone in reverse order.
//   - A history, once written, can be read for ever: wire names are stable and apart from Go names; an event
//     type or format that this build does not know is an error that names it, never skipped.
//
// # What it expects
//
// The state is a struct that encoding/json can carry there and back; what JSON does not carry is lost between
// steps. A step whose effect leaves the process passes its idempotency key along. Handlers return soon after
// their context ends.
//
// # The pieces
//
// [Define] checks a definition and gives its [Plan]. [Fold] turns commits into an [Instance]; [Decide] and
// [Settle] give the events that follow from an input; [Instance.Evolve] applies them. [Activation] drives one
// saga from the delivery of one [Command] until it ends or parks: it is fed what happened and answers with the
// one [Action] to carry out next. [Journal] is the log it needs.
package saga

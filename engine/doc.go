// Package engine is the shell around package saga: the worker that runs sagas on JetStream, and the client that
// starts, reads and cancels them.
//
//	e, err := engine.New(engine.Config{Conn: nc})
//	err = e.Register(placeOrder)                 // a *saga.Definition[Order]
//	go func() { done <- e.Run(ctx) }()           // until ctx ends, Stop or Drain
//	client, err := e.Client(ctx)
//	order, err := engine.For(client, placeOrder).Run(ctx, "o-1", Order{SKU: "tea"})
//
// A program that only starts sagas uses [NewClient] and registers nothing.
//
// # What it guarantees
//
//   - Steps are at least once; state transitions are exactly once. Two engines never both advance a saga.
//   - A saga whose worker dies goes on with another that registered its definition, in under a second.
//   - A result that cannot be stored, because the server is away, is kept and stored when it is back; the step is
//     not run again while the engine lives.
//   - After [Engine.Stop], and after an [Engine.Drain] that gives nil, no goroutine of the engine is left and no hook is
//     called.
//
// docs/guarantees.md has the crash table, and what does not hold.
//
// # What it expects
//
// A connection that reconnects fast and without end, as [ConnectOptions] makes it: an engine that is silent for
// [streams.AckWait] has its sagas taken over, which is safe, and a waste. Handlers return soon after their context ends,
// since Stop waits for them, and are safe to run again with the same idempotency key.
//
// # How to test with it
//
// Package testutil has a server in the process, and processes that can be killed; see docs/testing.md.
package engine

// Package projections is what Jetsaga keeps in Redis: everything that knows a Redis key is here.
//
// Read models answer what the sagas' logs cannot be asked: which sagas are stuck, what a customer's sagas are, how many
// ended how, how long a step takes. A [Projector] keeps them up with the streams, and a [Reader] answers from them:
//
//	e, err := engine.New(engine.Config{Conn: nc, Redis: rdb}) // a worker, with a projector
//	c, err := e.Client(ctx)
//	page, err := c.List(ctx, projections.Query{Statuses: []saga.Status{saga.StatusStuck}})
//
// What is promised:
//
//   - Read models follow the logs: each summary is what the log said at some version, and versions only go up. Repeated
//     records, and a projector that was replaced and does not know it yet, change nothing.
//   - Totals are always the sums over the summaries of a shard: both are written by one script.
//   - Nothing in Redis is needed to know a saga's true state. A Redis that is wiped, or that is of other streams, is
//     built anew from the streams; one that lost its last writes is read up again from where it stands.
//   - A rebuild writes a new generation beside the old one and switches in one step: readers see one or the other.
//
// What is not: a read model is behind the log, mostly by milliseconds. Whoever needs to know what a saga's state is now
// asks the log, by engine.Client.Get.
package projections

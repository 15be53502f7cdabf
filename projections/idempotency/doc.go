// Package idempotency has an effect happen once for a key, whoever asks for it and however often: a step that is run again, a
// message that is delivered twice, a request that is repeated. What came of it is kept in Redis for a time, and given to
// whoever asks again.
//
// A key is claimed under a lease. Whoever holds the claim does the work and completes it with a result; a holder that is gone
// loses the claim when its lease runs out. Each claim of a key has a higher fencing token than those before, so that what the
// work is done on can refuse a holder that is late, and a late holder's completion is refused here.
//
// Nothing in Redis is needed to know where a saga stands. While Redis is away, what needs a claim waits or fails; where Redis
// has lost its data, an effect of before may happen again.
package idempotency

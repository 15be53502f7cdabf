package idempotency

import (
	"context"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"
)

// Claim is the right to do the work of a key. It is safe for concurrent use.
type Claim struct {
	store    *Store
	key      string
	redisKey string
	token    uint64
}

// Token is the fencing token: higher than that of any claim of the key before. Hand it to what the work is done on, so that
// it can refuse a holder that is late.
func (c *Claim) Token() uint64 { return c.token }

// Complete records the result, nil for none: the work is not done again for as long as the store keeps it. A
// [*LostError] tells that another has taken the key meanwhile, or that Redis has lost it, and nothing was recorded. Further
// errors are those of Redis, after which it may be called again, and [*InvalidError] for a result that is too large.
func (c *Claim) Complete(ctx context.Context, result []byte) error {
	if len(result) > c.store.conf.MaxResult {
		return &InvalidError{"result", fmt.Sprintf("of key %q has %d bytes, at most %d are kept", c.key, len(result), c.store.conf.MaxResult)}
	}
	return c.run(ctx, completeScript, "completing", result, c.store.conf.Keep.Milliseconds())
}

// Release gives the claim up without a result, so that the next may try. Errors are as with Complete.
func (c *Claim) Release(ctx context.Context) error {
	return c.run(ctx, releaseScript, "releasing", c.store.conf.Keep.Milliseconds())
}

// Extend begins the lease anew. Errors are as with Complete.
func (c *Claim) Extend(ctx context.Context) error {
	return c.run(ctx, extendScript, "extending", c.store.conf.Lease.Milliseconds(), c.store.conf.Keep.Milliseconds())
}

func (c *Claim) run(ctx context.Context, script *redis.Script, doing string, args ...any) error {
	args = append([]any{strconv.FormatUint(c.token, 10)}, args...)
	valid, err := c.store.run(ctx, script, c.redisKey, args...).Bool()
	switch {
	case err != nil:
		return fmt.Errorf("idempotency key %q: %s: %w", c.key, doing, err)
	case !valid:
		return &LostError{c.key, c.token}
	}
	return nil
}

package idempotency

import (
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"
)

// maxUnanswered is how many calls are remembered that were not answered. Of one that is not, the claim runs out.
const maxUnanswered = 10_000

// calls names the calls that claim keys. The answer to a call may be lost on its way, and with it the claim; when the call is
// repeated under its name, the claim is given again.
type calls struct {
	store string
	count atomic.Uint64

	mu         sync.Mutex
	unanswered map[string]string // by key
}

func newCalls() *calls { return &calls{store: uuid.NewString(), unanswered: map[string]string{}} }

// begin names a call: as the last one for this key that was not answered, of which nobody has the claim, or anew.
func (c *calls) begin(key string) string {
	c.mu.Lock()
	name, ok := c.unanswered[key]
	delete(c.unanswered, key)
	c.mu.Unlock()
	if !ok {
		name = c.store + "." + strconv.FormatUint(c.count.Add(1), 10)
	}
	return name
}

// failed remembers a call that was not answered.
func (c *calls) failed(key, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.unanswered) >= maxUnanswered {
		for other := range c.unanswered {
			delete(c.unanswered, other)
			break
		}
	}
	c.unanswered[key] = name
}

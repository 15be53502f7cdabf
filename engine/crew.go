package engine

import (
	"sync"

	"github.com/jetsaga/jetsaga/saga"
)

// crew are the goroutines that drive activations. One that is through with an activation waits for the next: its stack has
// grown to what handlers need, and its core has the room that a saga takes. The one that was last at work is the first to
// be given more.
type crew struct {
	spawn func(func()) // runs a goroutine that the worker's stop waits for

	mu     sync.Mutex
	idle   []*hand
	closed bool
}

// hand is one of them.
type hand struct {
	next chan *activation // holds one; closed when there is no more
	core *saga.Activation // of the last activation; nil before the first
}

// idleHands is how many wait for work at most.
const idleHands = 512

// drive has an activation driven.
func (c *crew) drive(a *activation) {
	c.mu.Lock()
	if n := len(c.idle); n > 0 {
		h := c.idle[n-1]
		c.idle = c.idle[:n-1]
		c.mu.Unlock()
		h.next <- a
		return
	}
	c.mu.Unlock()
	h := &hand{next: make(chan *activation, 1)}
	c.spawn(func() { c.work(h, a) })
}

func (c *crew) work(h *hand, a *activation) {
	for ok := true; ok; a, ok = <-h.next {
		h.core = a.drive(h.core)
		if !c.rest(h) {
			return
		}
	}
}

// rest puts a hand among those that wait, unless there are enough.
func (c *crew) rest(h *hand) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || len(c.idle) == idleHands {
		return false
	}
	c.idle = append(c.idle, h)
	return true
}

// close sends home those that wait, and the others as soon as they are through.
func (c *crew) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, h := range c.idle {
		close(h.next)
	}
	c.idle = nil
}

package engine

import (
	"runtime"
	"sync"
)

// crew are the goroutines that drive activations: those that are new, and those whose commit has arrived. An activation needs
// none while its commit is on its way, so a few serve many, and their stacks have grown to what handlers need. About as many work
// as there are processors; one that leaves for a handler, or for anything else that may take its time, has another take its place.
type crew struct {
	spawn func(func()) // runs a goroutine that the worker's stop waits for
	wants int          // how many should be at work
	most  int          // how many go on when those who left have come back

	mu     sync.Mutex
	first  *turn // of those that wait, in the order in which they came
	last   *turn
	busy   int     // how many are at work
	idle   []*hand // the one that was last at work is the first to be called
	closed bool
}

// turn is an activation's place in the row of those that are to go on. It is in the row once at a time.
type turn struct {
	goOn func()
	next *turn
}

// hand is one of them.
type hand struct {
	call chan struct{} // holds one; closed when there is no more work
}

// idleHands is how many wait for work at most.
const idleHands = 512

func newCrew(spawn func(func())) *crew {
	n := runtime.GOMAXPROCS(0)
	return &crew{spawn: spawn, wants: n, most: 2 * n}
}

// push puts a turn at the row's end.
func (c *crew) push(t *turn) {
	c.mu.Lock()
	if c.first == nil {
		c.first = t
	} else {
		c.last.next = t
	}
	c.last = t
	c.callOne()
}

// leave tells that the caller, who drives an activation, does what may take its time; comeBack ends that.
func (c *crew) leave() {
	c.mu.Lock()
	c.busy--
	c.callOne()
}

func (c *crew) comeBack() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy++
}

// callOne has one more work if there is work for one. The crew is locked, and is unlocked then.
func (c *crew) callOne() {
	if c.first == nil || c.busy >= c.wants {
		c.mu.Unlock()
		return
	}
	c.busy++
	if n := len(c.idle); n > 0 {
		h := c.idle[n-1]
		c.idle = c.idle[:n-1]
		c.mu.Unlock()
		h.call <- struct{}{}
		return
	}
	c.mu.Unlock()
	c.spawn(func() { c.work(&hand{call: make(chan struct{}, 1)}) })
}

func (c *crew) work(h *hand) {
	home := false
	defer func() {
		if !home { // the goroutine was ended from within
			c.leave()
		}
	}()
	for {
		t, stay := c.next(h)
		if t != nil {
			t.goOn()
			continue
		}
		if stay {
			_, stay = <-h.call
		}
		if !stay {
			home = true
			return
		}
	}
}

// next gives the turn that has waited longest. Where there is none, or where enough are at work, the hand is to wait until it
// is called, or to go.
func (c *crew) next(h *hand) (t *turn, stay bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t = c.first; t != nil && c.busy <= c.most {
		c.first, t.next = t.next, nil
		return t, true
	}
	c.busy--
	if c.closed || len(c.idle) == idleHands {
		return nil, false
	}
	c.idle = append(c.idle, h)
	return nil, true
}

// close sends home those that wait, and the others as soon as they are through.
func (c *crew) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, h := range c.idle {
		close(h.call)
	}
	c.idle = nil
}

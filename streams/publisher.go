package streams

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// publisher publishes to streams and waits for the acknowledgements. All of a connection's publishes share one
// subscription for their answers, and each borrows what it waits with, so that a commit costs little more than its bytes.
type publisher struct {
	nc    *nats.Conn
	inbox string // with its dot; each waiter adds its number

	mu      sync.Mutex
	sub     *nats.Subscription
	last    uint64
	waiters map[uint64]*waiter // all that an answer may be for
	idle    []*waiter
	watched map[<-chan struct{}]struct{} // the ends of contexts under which something was posted
	sweeper *time.Timer                  // runs while publishes are under way, and some time after
	swept   bool                         // there were some when it last ran, or since
	pulse   uint64                       // how often it has run
}

// waiter is what one publish after another waits with. One whose answer did not come is not used again: it may still come.
type waiter struct {
	number uint64
	reply  string         // where the answer goes
	answer chan pubAnswer // holds one
	busy   bool
	turn   uint64 // which publish of those that it was lent for
	since  uint64 // the pulse at which that was sent

	then  func(sequence uint64) // takes the answer in place of the channel, for one that was posted
	until <-chan struct{}       // when the one that was posted is given up
}

// publishTimeout bounds the wait for an acknowledgement: one that has not come by then was lost with a connection or a
// server. All waits are looked at so many times within that, instead of each having a timer of its own.
const (
	publishTimeout = 5 * time.Second
	publishPulses  = 10
)

// publishRest is for how long nothing is published before the subscription is given up, until something is.
const publishRest = time.Minute

func newPublisher(nc *nats.Conn) *publisher {
	return &publisher{nc: nc, inbox: nc.NewInbox() + ".", waiters: map[uint64]*waiter{}, watched: map[<-chan struct{}]struct{}{}}
}

// publish sends a message and gives the sequence that it is stored at. The errors are the server's refusal
// (a [*jetstream.APIError]), [jetstream.ErrNoStreamResponse] where no stream has the subject, [nats.ErrTimeout], the
// connection's, and that of ctx.
func (p *publisher) publish(ctx context.Context, m *nats.Msg) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err // else the answer might come before the select below looks at ctx
	}
	w, _, err := p.borrow(ctx, nil)
	if err != nil {
		return 0, err
	}
	m.Reply = w.reply
	if err := p.nc.PublishMsg(m); err != nil {
		p.drop(w)
		return 0, err
	}
	select {
	case a := <-w.answer:
		if a.err == nats.ErrTimeout { //nolint:errorlint // the sweeper's own
			p.drop(w)
		} else {
			p.giveBack(w)
		}
		return a.sequence, a.err
	case <-ctx.Done():
		p.drop(w)
		return 0, ctx.Err()
	}
}

// post is publish without the wait. Once the message is on its way, then is called once: with the sequence, or with 0 for any
// error, the end of ctx among them. It is called on a goroutine that it must not block, which may be before post returns.
func (p *publisher) post(ctx context.Context, m *nats.Msg, then func(sequence uint64)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w, turn, err := p.borrow(ctx, then)
	if err != nil {
		return err
	}
	m.Reply = w.reply
	if err := p.nc.PublishMsg(m); err != nil && p.withdraw(w, turn) {
		return err
	}
	return nil
}

// withdraw ends a publish that was posted and could not be sent, unless its then has been called meanwhile, at the context's end.
func (p *publisher) withdraw(w *waiter, turn uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !w.busy || w.turn != turn {
		return false
	}
	w.free()
	delete(p.waiters, w.number)
	return true
}

// watch has what was posted under a context given up when that ends. The publisher is locked.
func (p *publisher) watch(ctx context.Context) <-chan struct{} {
	end := ctx.Done()
	if _, ok := p.watched[end]; !ok && end != nil {
		p.watched[end] = struct{}{}
		context.AfterFunc(ctx, func() { p.cut(end) })
	}
	return end
}

// cut gives up what was posted under a context that has ended.
func (p *publisher) cut(end <-chan struct{}) {
	var told []func(uint64)
	p.mu.Lock()
	delete(p.watched, end)
	for number, w := range p.waiters {
		if w.busy && w.until == end {
			delete(p.waiters, number)
			told = append(told, w.free())
		}
	}
	p.mu.Unlock()
	for _, then := range told {
		then(0)
	}
}

// borrow gives what a publish waits with, and subscribes for the first. One that is posted comes with its then.
func (p *publisher) borrow(ctx context.Context, then func(uint64)) (_ *waiter, turn uint64, _ error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sub == nil {
		sub, err := p.nc.Subscribe(p.inbox+"*", p.receive)
		if err != nil {
			return nil, 0, fmt.Errorf("subscribing to acknowledgements: %w", err)
		}
		_ = sub.SetPendingLimits(-1, -1) // bounded by the publishes under way
		p.sub = sub
	}
	var w *waiter
	if n := len(p.idle); n > 0 {
		w, p.idle = p.idle[n-1], p.idle[:n-1]
	} else {
		p.last++
		w = &waiter{number: p.last, reply: p.inbox + strconv.FormatUint(p.last, 36), answer: make(chan pubAnswer, 1)}
		p.waiters[w.number] = w
	}
	w.turn++
	w.busy, w.since = true, p.pulse
	if then != nil {
		w.then, w.until = then, p.watch(ctx)
	}
	if !p.swept {
		p.swept = true
		p.sweepAfter(publishTimeout / publishPulses)
	}
	return w, w.turn, nil
}

// giveBack ends a publish that was answered.
func (p *publisher) giveBack(w *waiter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = append(p.idle, w)
}

// drop ends a publish that was not answered. Whoever answers it now is not heard.
func (p *publisher) drop(w *waiter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.waiters, w.number)
}

// sweepAfter has sweep called.
func (p *publisher) sweepAfter(d time.Duration) {
	if p.sweeper == nil {
		p.sweeper = time.AfterFunc(d, p.sweep)
		return
	}
	p.sweeper.Reset(d)
}

// sweep ends the publishes that have waited for long enough, and comes again while there are others. Where there were none for
// some time, it ends the subscription.
func (p *publisher) sweep() {
	var told []func(uint64)
	p.mu.Lock()
	p.pulse++
	rested := !p.swept
	p.swept = false
	for number, w := range p.waiters {
		if !w.busy {
			continue
		}
		p.swept = true
		if p.pulse-w.since <= publishPulses {
			continue
		}
		if then := w.free(); then != nil {
			delete(p.waiters, number)
			told = append(told, then)
		} else {
			w.answer <- pubAnswer{err: nats.ErrTimeout}
		}
	}
	switch {
	case p.swept:
		p.sweepAfter(publishTimeout / publishPulses)
	case !rested:
		p.sweepAfter(publishRest)
	case p.sub != nil:
		_ = p.sub.Unsubscribe() // it fails on a connection that is closed
		p.sub = nil
	}
	p.mu.Unlock()
	for _, then := range told {
		then(0)
	}
}

// free ends the publish that waits, and gives what is to be called with its answer; nil where it waits at the channel, which
// has room for one. The publisher is locked.
func (w *waiter) free() (then func(uint64)) {
	then = w.then
	w.busy, w.then, w.until = false, nil, nil
	return then
}

func (p *publisher) receive(m *nats.Msg) {
	number, err := strconv.ParseUint(m.Subject[len(p.inbox):], 36, 64)
	if err != nil {
		return // not of ours
	}
	a := readPubAnswer(m)
	p.mu.Lock()
	w := p.waiters[number]
	if w == nil || !w.busy {
		p.mu.Unlock()
		return
	}
	then := w.free()
	if then == nil {
		w.answer <- a
	} else {
		p.idle = append(p.idle, w)
	}
	p.mu.Unlock()
	if then != nil {
		then(a.sequence)
	}
}

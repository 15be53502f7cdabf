package streams

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
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
	sweeper *time.Timer // runs while publishes are under way
	swept   bool        // it runs
	pulse   uint64      // how often it has run
}

// waiter is what one publish after another waits with. One whose answer did not come is not used again: it may still come.
type waiter struct {
	number uint64
	reply  string         // where the answer goes
	answer chan pubAnswer // holds one
	busy   bool
	since  uint64 // the pulse at which the publish was sent
}

// pubAnswer is what the server has to say of a publish.
type pubAnswer struct {
	sequence uint64
	err      error
}

// publishTimeout bounds the wait for an acknowledgement: one that has not come by then was lost with a connection or a
// server. All waits are looked at so many times within that, instead of each having a timer of its own.
const (
	publishTimeout = 5 * time.Second
	publishPulses  = 10
)

func newPublisher(nc *nats.Conn) *publisher {
	return &publisher{nc: nc, inbox: nc.NewInbox() + ".", waiters: map[uint64]*waiter{}}
}

// publish sends a message and gives the sequence that it is stored at. The errors are the server's refusal
// (a [*jetstream.APIError]), [jetstream.ErrNoStreamResponse] where no stream has the subject, [nats.ErrTimeout], the
// connection's, and that of ctx.
func (p *publisher) publish(ctx context.Context, m *nats.Msg) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err // else the answer might come before the select below looks at ctx
	}
	w, err := p.borrow()
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

// borrow gives what a publish waits with, and subscribes for the first.
func (p *publisher) borrow() (*waiter, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sub == nil {
		sub, err := p.nc.Subscribe(p.inbox+"*", p.receive)
		if err != nil {
			return nil, fmt.Errorf("subscribing to acknowledgements: %w", err)
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
	w.busy, w.since = true, p.pulse
	if !p.swept {
		p.swept = true
		p.sweepLater()
	}
	return w, nil
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

func (p *publisher) sweepLater() {
	if p.sweeper == nil {
		p.sweeper = time.AfterFunc(publishTimeout/publishPulses, p.sweep)
		return
	}
	p.sweeper.Reset(publishTimeout / publishPulses)
}

// sweep ends the publishes that have waited for long enough, and comes again while there are others.
func (p *publisher) sweep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pulse++
	p.swept = false
	for _, w := range p.waiters {
		if !w.busy {
			continue
		}
		p.swept = true
		if p.pulse-w.since > publishPulses {
			w.tell(pubAnswer{err: nats.ErrTimeout})
		}
	}
	if p.swept {
		p.sweepLater()
	}
}

// tell gives the answer to the publish that waits for it. The publisher is locked.
func (w *waiter) tell(a pubAnswer) {
	if w.busy {
		w.busy = false
		w.answer <- a // there is room: one publish has one answer
	}
}

func (p *publisher) receive(m *nats.Msg) {
	number, err := strconv.ParseUint(m.Subject[len(p.inbox):], 36, 64)
	if err != nil {
		return // not of ours
	}
	a := readPubAnswer(m)
	p.mu.Lock()
	defer p.mu.Unlock()
	if w := p.waiters[number]; w != nil {
		w.tell(a)
	}
}

const statusNoResponders = "503"

// readPubAnswer reads an acknowledgement: {"stream":"S", "seq":1}, or with an error in place of the sequence.
func readPubAnswer(m *nats.Msg) pubAnswer {
	if len(m.Data) == 0 && m.Header.Get(statusHeader) == statusNoResponders {
		return pubAnswer{err: jetstream.ErrNoStreamResponse}
	}
	if sequence, ok := plainSequence(m.Data); ok {
		return pubAnswer{sequence: sequence}
	}
	var ack struct {
		Error    *jetstream.APIError `json:"error"`
		Sequence uint64              `json:"seq"`
	}
	err := json.Unmarshal(m.Data, &ack)
	switch {
	case err != nil:
		return pubAnswer{err: fmt.Errorf("acknowledgement %.100q: %w", m.Data, err)}
	case ack.Error != nil:
		return pubAnswer{err: ack.Error}
	case ack.Sequence == 0:
		return pubAnswer{err: fmt.Errorf("acknowledgement %.100q: %w", m.Data, jetstream.ErrInvalidJSAck)}
	}
	return pubAnswer{sequence: ack.Sequence}
}

// plainSequence reads the sequence of the acknowledgement that a server sends when there is nothing else to say.
func plainSequence(data []byte) (uint64, bool) {
	const name = `"seq":`
	at := bytes.Index(data, []byte(name))
	if at < 0 || bytes.Contains(data, []byte(`"error"`)) {
		return 0, false
	}
	var sequence uint64
	digits := 0
	for _, c := range data[at+len(name):] {
		switch {
		case '0' <= c && c <= '9' && digits < 19:
			sequence = sequence*10 + uint64(c-'0')
			digits++
		case c == '}' || c == ',':
			return sequence, digits > 0 && sequence > 0
		default:
			return 0, false
		}
	}
	return 0, false
}

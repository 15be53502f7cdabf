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
	inbox string // with its dot; each publish adds its number

	mu      sync.Mutex
	sub     *nats.Subscription
	last    uint64
	waiting map[uint64]*waiter
	idle    []*waiter
}

// waiter is what one publish waits with.
type waiter struct {
	answer chan pubAnswer // holds one
	timer  *time.Timer
}

// pubAnswer is what the server has to say of a publish.
type pubAnswer struct {
	sequence uint64
	err      error
}

// publishTimeout bounds the wait for an acknowledgement: one that has not come by then was lost with a connection or a
// server.
const publishTimeout = 5 * time.Second

func newPublisher(nc *nats.Conn) *publisher {
	return &publisher{nc: nc, inbox: nc.NewInbox() + ".", waiting: map[uint64]*waiter{}}
}

// publish sends a message and gives the sequence that it is stored at. The errors are the server's refusal
// (a [*jetstream.APIError]), [jetstream.ErrNoStreamResponse] where no stream has the subject, [nats.ErrTimeout], the
// connection's, and that of ctx.
func (p *publisher) publish(ctx context.Context, m *nats.Msg) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err // else the answer might come before the select below looks at ctx
	}
	number, w, err := p.enter()
	if err != nil {
		return 0, err
	}
	m.Reply = p.inbox + strconv.FormatUint(number, 36)
	if err := p.nc.PublishMsg(m); err != nil {
		p.leave(number, w)
		return 0, err
	}
	w.timer.Reset(publishTimeout)
	var a pubAnswer
	select {
	case a = <-w.answer:
	case <-ctx.Done():
		a.err = ctx.Err()
	case <-w.timer.C:
		a.err = nats.ErrTimeout
	}
	w.timer.Stop()
	p.leave(number, w)
	return a.sequence, a.err
}

// enter registers a publish, and subscribes for the first.
func (p *publisher) enter() (uint64, *waiter, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sub == nil {
		sub, err := p.nc.Subscribe(p.inbox+"*", p.receive)
		if err != nil {
			return 0, nil, fmt.Errorf("subscribing to acknowledgements: %w", err)
		}
		_ = sub.SetPendingLimits(-1, -1) // bounded by the publishes under way
		p.sub = sub
	}
	var w *waiter
	if n := len(p.idle); n > 0 {
		w, p.idle = p.idle[n-1], p.idle[:n-1]
	} else {
		w = &waiter{answer: make(chan pubAnswer, 1), timer: time.NewTimer(publishTimeout)}
		w.timer.Stop()
	}
	p.last++
	p.waiting[p.last] = w
	return p.last, w, nil
}

// leave ends a publish. An answer that came too late is taken out, so that the next borrower does not see it.
func (p *publisher) leave(number uint64, w *waiter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.waiting, number)
	select {
	case <-w.answer:
	default:
	}
	p.idle = append(p.idle, w)
}

func (p *publisher) receive(m *nats.Msg) {
	number, err := strconv.ParseUint(m.Subject[len(p.inbox):], 36, 64)
	if err != nil {
		return // not of ours
	}
	a := readPubAnswer(m)
	p.mu.Lock()
	defer p.mu.Unlock()
	if w := p.waiting[number]; w != nil {
		select {
		case w.answer <- a:
		default: // answered before
		}
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

package streams

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Puller asks one stream for the commands of one definition, for one worker. It delivers no more than it was
// asked for: [Puller.Request] lends free slots of the worker to the server, and what comes back is either a
// delivery or the return of slots that found no command. At most one request is under way. It is safe for
// concurrent use.
type Puller struct {
	n          *Namespace
	subject    string // where to ask
	stream     string
	definition string
	handlers   PullHandlers
	sub        *nats.Subscription
	inbox      string // of this puller, with its dot; each request adds its number

	mu    sync.Mutex
	asked uint64    // the number of the last request
	left  int       // slots still lent to it
	fresh bool      // none of them is filled
	large bool      // the next message is larger than the last request allowed, as from before the server's limit was lowered
	heard time.Time // when the server last showed that it has the request

	since    time.Time // what was stored before may have been delivered by a consumer that is gone
	unsure   bool      // and so may anything, until Mend has been there
	orphaned bool      // no consumer has answered a request: there may be another since
	mended   time.Time // when that was last told
}

// PullHandlers take what a [Puller] brings. Those of one puller are called one after another; they must not block.
type PullHandlers struct {
	// Delivered takes a command, which fills one slot.
	Delivered func(p *Puller, d *Delivery)
	// Returned takes back slots that were lent and not filled: err is nil when the request expired, and tells
	// what happened when the server, the consumer or the connection was lost.
	Returned func(p *Puller, slots int, err error)
}

// Statuses that end a pull request, from ADR-13 and nats-server's server/consumer.go.
const (
	statusHeartbeat = "100"
	statusExpired   = "408"
)

// Texts of statuses that end a pull request whose messages or bytes were had. Between them, they bound what is on its way: a
// server closes a connection that is slow to take 64 MiB (MAX_PENDING_SIZE).
const (
	textBatchDone = "Batch Completed"
	textBytesDone = "Message Size Exceeds MaxBytes"
)

// pullBytes is how many bytes a request has the server send, at most.
const pullBytes = 8 << 20

// bytesFor gives the bound for a request for so many messages: room for any message; 0, none, where they cannot be more anyway.
func (n *Namespace) bytesFor(messages int) int {
	largest := int(n.nc.MaxPayload()) + headerAllowance
	if messages <= pullBytes/largest {
		return 0
	}
	return max(pullBytes, largest)
}

// A waiting request is confirmed by heartbeats, so that one that was lost with a server is noticed.
const (
	pullHeartbeat = time.Second
	pullSilence   = 2500 * time.Millisecond
)

// Pull creates what the definition needs on the server and gives one puller for each stream. Nothing is delivered
// before a Request.
func (n *Namespace) Pull(ctx context.Context, definition string, h PullHandlers) ([]*Puller, error) {
	var pullers []*Puller
	for _, stream := range n.streams {
		p := &Puller{
			n: n, stream: stream, definition: definition, handlers: h, inbox: n.nc.NewInbox() + ".",
			subject: n.api + "CONSUMER.MSG.NEXT." + stream + "." + consumerName(definition),
		}
		var err error
		if p.since, err = n.consumer(ctx, stream, definition); err == nil {
			if p.sub, err = n.nc.Subscribe(p.inbox+"*", p.receive); err != nil {
				err = fmt.Errorf("definition %q: subscribing to its commands: %w", definition, err)
			}
		}
		if err != nil {
			for _, started := range pullers {
				started.Stop()
			}
			return nil, err
		}
		_ = p.sub.SetPendingLimits(-1, -1) // bounded by what was asked for
		pullers = append(pullers, p)
	}
	return pullers, nil
}

// Stream gives the name of the stream that the puller asks.
func (p *Puller) Stream() string { return p.stream }

// Request lends slots to the server until they are filled or the time has passed. The caller makes no second
// request before the first has come to its end.
func (p *Puller) Request(slots int, expires time.Duration) error {
	bytes := p.n.bytesFor(slots)
	p.mu.Lock()
	if p.large {
		bytes = 0
	}
	p.asked++
	p.left, p.fresh, p.large, p.heard = slots, true, false, time.Now()
	inbox := p.inbox + strconv.FormatUint(p.asked, 10)
	p.mu.Unlock()
	body, err := json.Marshal(struct {
		Batch     int           `json:"batch"`
		MaxBytes  int           `json:"max_bytes,omitempty"`
		Expires   time.Duration `json:"expires"`
		Heartbeat time.Duration `json:"idle_heartbeat,omitempty"`
	}{slots, bytes, expires, heartbeatWithin(expires)})
	if err != nil {
		p.Abandon(err)
		return err
	}
	if !p.n.nc.IsConnected() {
		// Kept back, the request would be the first thing that a server hears when it is back.
		p.Abandon(nats.ErrDisconnected)
		return nil
	}
	if err := p.n.nc.PublishRequest(p.subject, inbox, body); err != nil {
		p.Abandon(err)
	}
	return nil
}

// heartbeatWithin gives the heartbeat to ask for: the server refuses one of more than half the expiry.
func heartbeatWithin(expires time.Duration) time.Duration {
	if expires < 2*pullHeartbeat {
		return 0
	}
	return pullHeartbeat
}

// receive takes a command, or a status. The server delivers a command under the command's own subject, and a
// status under the request's.
func (p *Puller) receive(m *nats.Msg) {
	number, isStatus := strings.CutPrefix(m.Subject, p.inbox)
	if !isStatus {
		p.command(m)
		return
	}
	status, text := m.Header.Get(statusHeader), m.Header.Get("Description")
	p.mu.Lock()
	if number != strconv.FormatUint(p.asked, 10) {
		p.mu.Unlock()
		return // of an earlier request
	}
	p.heard = time.Now()
	if status == statusNoResponders || strings.HasPrefix(text, "Consumer Deleted") {
		p.orphaned, p.unsure = true, true
	}
	p.large = p.fresh && strings.HasPrefix(text, textBytesDone)
	p.mu.Unlock()
	switch {
	case status == statusHeartbeat:
	case status == statusExpired, strings.HasPrefix(text, textBatchDone), strings.HasPrefix(text, textBytesDone):
		p.Abandon(nil)
	default:
		p.Abandon(fmt.Errorf("stream %s: pull ended: %s %s", p.stream, status, text))
	}
}

func (p *Puller) command(m *nats.Msg) {
	d, err := p.n.newDelivery(m)
	p.mu.Lock()
	p.heard = time.Now()
	lent := p.left > 0
	if lent {
		p.left--
		p.fresh = false
	}
	since, unsure := p.since, p.unsure
	p.mu.Unlock()
	if err == nil {
		d.Repeated = unsure || d.stored.Before(since)
	}
	if err == nil && m.Header.Get(HeaderHistoric) != "" {
		_ = d.Ack() // should it be lost, it comes again
		if lent {
			p.handlers.Returned(p, 1, nil)
		}
		return
	}
	switch {
	case err != nil && lent:
		p.handlers.Returned(p, 1, err)
	case err == nil && !lent:
		// It was sent for a request that was given up; others may have it.
		_ = d.Retry(0)
	case err == nil:
		p.handlers.Delivered(p, d)
	}
}

// Idle reports whether no request is under way.
func (p *Puller) Idle() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.left == 0
}

// CheckSilence gives up a request of which the server has not been heard for too long.
func (p *Puller) CheckSilence(now time.Time) {
	p.mu.Lock()
	silent := p.left > 0 && now.Sub(p.heard) > pullSilence
	p.mu.Unlock()
	if silent {
		p.Abandon(fmt.Errorf("stream %s: the server has lost the pull request", p.stream))
	}
}

// mendEvery is how often a puller is found to be orphaned at most.
const mendEvery = 3 * time.Second

// Orphaned reports whether no consumer has answered a request, at most every few seconds: then [Puller.Mend] is worth a try.
func (p *Puller) Orphaned(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.orphaned || now.Sub(p.mended) < mendEvery {
		return false
	}
	p.orphaned, p.mended = false, now
	return true
}

// Mend creates the consumer anew that the puller asks, if it is gone, and reports whether it was: someone has removed it, or the
// stream was restored without. All commands that the stream has are then delivered again, as [Delivery.Repeated].
func (p *Puller) Mend(ctx context.Context) (gone bool, _ error) {
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	_, err := p.n.js.Consumer(ctx, p.stream, consumerName(p.definition))
	gone = errors.Is(err, jetstream.ErrConsumerNotFound)
	since, err := p.n.consumer(ctx, p.stream, p.definition)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.orphaned = true
		return false, err
	}
	p.since, p.unsure = since, p.orphaned // it may be gone again
	return gone, nil
}

// Abandon ends the request under way, if any, and returns its slots, for the reason given.
func (p *Puller) Abandon(reason error) {
	p.mu.Lock()
	left := p.left
	p.left = 0
	p.asked++ // what still comes for it is of an earlier request
	p.mu.Unlock()
	if left > 0 {
		p.handlers.Returned(p, left, reason)
	}
}

// Stop ends the puller. Commands that reach it afterwards are delivered elsewhere.
func (p *Puller) Stop() { _ = p.sub.Unsubscribe() }

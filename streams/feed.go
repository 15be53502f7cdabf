package streams

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/jetsaga/jetsaga/saga"
)

// The times of a feed. An active member renews its pin every pinRenewal; one that has not for pinFor is replaced by the
// next that waits. Between them they decide how soon another goes on where one has died: within a second.
const (
	pinFor     = 750 * time.Millisecond
	pinRenewal = 200 * time.Millisecond
)

// feedAckWait is after how long an unanswered batch is delivered again. It hardly matters: whoever becomes active
// has the consumer begin where it wants to.
const feedAckWait = 30 * time.Second

// feedGroup is the priority group of a feed's consumers.
const feedGroup = "active"

// headerPin names who is active, from nats-server's server/consumer.go (JSPullRequestNatsPinId).
const headerPin = "Nats-Pin-Id"

// statusPinLost tells that another member is active, from nats-server's server/consumer.go.
const statusPinLost = "423"

// DefaultFeedBatch is how many records a feed hands over at a time, at most: fewer where they are large.
const DefaultFeedBatch = 4096

// FeedConfig says what a feed reads.
type FeedConfig struct {
	// Name is the durable name of the consumer on each stream: letters, digits, '-' and '_'. Members with the same
	// name share the work: on each stream one of them is active. Required.
	Name string
	// Batch is how many records are handed over at a time, at most. Default: [DefaultFeedBatch].
	Batch int
}

// FeedBatch is what a feed hands over: records of one stream in their order, without holes.
type FeedBatch struct {
	Records []Record
	// Pending is how many records of the stream come after these.
	Pending uint64
}

// FeedHandler takes what a feed brings. Its methods are called one after another.
type FeedHandler interface {
	// Begin is called when this member has become the active one of a stream, and whenever the order of what was
	// delivered is in doubt. It gives the sequence after which to go on, 0 for the beginning.
	Begin(ctx context.Context) (after uint64, err error)
	// Apply takes the next records. They are acknowledged when it returns nil. While there are none, it gets an empty batch
	// about every second, to see whether what it has written is still there.
	Apply(ctx context.Context, batch FeedBatch) error
}

// Follow reads a stream for a handler until ctx ends or the handler fails, whose error it returns. Any number of members
// may follow a stream under one name: one is active, and when it falls silent another takes over within a second. It is
// possible that for a moment two believe to be active, so the handler's writes have to be guarded.
//
// A handler that begins where it says it has got to sees every record at least once and in order, whatever happens to
// servers, consumers and members, as long as the stream keeps what it has taken. One that loses its end in a power cut gives the
// sequences that were lost to others: the handler's Begin has to see to it that it begins after none that is beyond the end.
func (n *Namespace) Follow(ctx context.Context, stream string, conf FeedConfig, h FeedHandler) error {
	if conf.Batch <= 0 {
		conf.Batch = DefaultFeedBatch
	}
	f := &feed{n: n, stream: stream, conf: conf, handler: h}
	for rest := time.Duration(0); ; {
		if err := f.ensure(ctx); err == nil {
			var failure *handlerError
			err := f.follow(ctx)
			if errors.As(err, &failure) {
				return failure.err
			}
			if err != nil && ctx.Err() == nil {
				n.conf.Logger.Warn("reading a stream", "stream", stream, "consumer", conf.Name, "error", err)
			}
		} else if errors.Is(err, ErrNotFound) {
			return err
		}
		if rest = min(2*rest+feedRest, feedRestMost); f.progressed {
			rest, f.progressed = feedRest, false
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(rest):
		}
	}
}

// Between two attempts a feed rests, longer and longer while there is no progress.
const (
	feedRest     = 10 * time.Millisecond
	feedRestMost = 500 * time.Millisecond
)

// feedQuiet is after how long without records a feed hands over an empty batch.
const feedQuiet = time.Second

// EndFeed removes a feed's consumers, for good or to have it begin anew. It is no error where there are none; a consumer of that name
// that is no feed's stays.
func (n *Namespace) EndFeed(ctx context.Context, name string) error {
	for _, stream := range n.streams {
		c, err := n.js.Consumer(ctx, stream, name)
		if err == nil && isFeed(c.CachedInfo()) {
			err = n.js.DeleteConsumer(ctx, stream, name)
		}
		if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) && !errors.Is(err, jetstream.ErrStreamNotFound) {
			return fmt.Errorf("stream %s: removing the consumer %s: %w", stream, name, err)
		}
	}
	return nil
}

// Feeds gives the names of the feeds' consumers that begin with prefix. A definition's queue or a consumer of someone else's may
// begin so, too, and is none.
func (n *Namespace) Feeds(ctx context.Context, prefix string) ([]string, error) {
	var names []string
	for _, name := range n.streams {
		stream, err := n.js.Stream(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("stream %s: %w", name, err)
		}
		list := stream.ListConsumers(ctx)
		for info := range list.Info() {
			if strings.HasPrefix(info.Name, prefix) && isFeed(info) {
				names = append(names, info.Name)
			}
		}
		if err := list.Err(); err != nil {
			return nil, fmt.Errorf("stream %s: listing its consumers: %w", name, err)
		}
	}
	return names, nil
}

// isFeed reports whether a consumer is one of [Namespace.Follow], which gives commands and commits alone to its handler.
func isFeed(info *jetstream.ConsumerInfo) bool {
	return slices.Equal(info.Config.PriorityGroups, []string{feedGroup})
}

// FeedProgress is how far a feed has come with a stream.
type FeedProgress struct {
	Acked uint64 // the stream's sequence up to which everything was handed over and acknowledged
	Lag   uint64 // how many messages come after that
}

// FeedProgress tells how far a feed has come with a stream. The error is [ErrNotFound] where it has no consumer.
func (n *Namespace) FeedProgress(ctx context.Context, stream, name string) (FeedProgress, error) {
	c, err := n.js.Consumer(ctx, stream, name)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		err = ErrNotFound
	}
	if err != nil {
		return FeedProgress{}, fmt.Errorf("stream %s: consumer %s: %w", stream, name, err)
	}
	info := c.CachedInfo()
	return FeedProgress{Acked: info.AckFloor.Stream, Lag: info.NumPending + uint64(max(info.NumAckPending, 0))}, nil
}

// LastSequence gives the sequence of the last message that a stream has taken. The error is [ErrNotFound] where there is no
// such stream.
func (n *Namespace) LastSequence(ctx context.Context, stream string) (uint64, error) {
	s, err := n.js.Stream(ctx, stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		err = ErrNotFound
	}
	if err != nil {
		return 0, fmt.Errorf("stream %s: %w", stream, err)
	}
	return s.CachedInfo().State.LastSeq, nil
}

// handlerError is what a handler returned.
type handlerError struct{ err error }

func (e *handlerError) Error() string { return e.err.Error() }

// errDisorder tells that what was delivered is not what comes next.
var errDisorder = errors.New("the deliveries have a hole: beginning anew")

// feed is one member that follows one stream.
type feed struct {
	n       *Namespace
	stream  string
	conf    FeedConfig
	handler FeedHandler

	pin        string // while this member is the active one, as far as it knows
	progressed bool
}

// ensure creates the consumer.
func (f *feed) ensure(ctx context.Context) error {
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	_, err := f.n.js.CreateOrUpdateConsumer(ctx, f.stream, jetstream.ConsumerConfig{
		// There is no filter: with one, the server looks through all subjects of a block for each message.
		Durable:        f.conf.Name,
		DeliverPolicy:  jetstream.DeliverAllPolicy,
		AckPolicy:      jetstream.AckAllPolicy,
		AckWait:        feedAckWait,
		MaxDeliver:     -1,
		MaxAckPending:  -1, // the members bound what they ask for
		PriorityPolicy: jetstream.PriorityPolicyPinned,
		PriorityGroups: []string{feedGroup},
		PinnedTTL:      pinFor,
	})
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("stream %s: %w", f.stream, ErrNotFound)
	}
	return err
}

// follow waits until this member is the active one, and then reads until something is amiss.
func (f *feed) follow(ctx context.Context) error {
	if err := f.await(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := f.session()
	if err != nil {
		return err
	}
	defer s.end()
	return s.run(ctx, cancel)
}

// await returns when this member is the active one. It takes one message to become it, which the consumer is then made
// to deliver again.
func (f *feed) await(ctx context.Context) error {
	s, err := f.session()
	if err != nil {
		return err
	}
	defer s.end()
	silence := time.NewTicker(pinFor)
	defer silence.Stop()
	if err := s.pull(1); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case m := <-s.messages:
			if !s.status(m) {
				f.pin = m.Header.Get(headerPin)
				return nil
			}
			if s.lost != nil && !errors.Is(s.lost, errPinLost) {
				return s.lost
			}
		case now := <-silence.C:
			if now.Sub(s.heard) > pullSilence {
				return errSilent
			}
			if err := f.rouse(ctx); err != nil {
				return err
			}
		}
		if s.left == 0 {
			if err := s.pull(1); err != nil {
				return err
			}
		}
	}
}

// rouse has the consumer deliver again what nobody has dealt with. A member becomes active by a message, and there may
// be none to come: a member that died has taken the last, or the handler's store has lost what was acknowledged.
func (f *feed) rouse(ctx context.Context) error {
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	c, err := f.n.js.Consumer(ctx, f.stream, f.conf.Name)
	if err != nil {
		return fmt.Errorf("stream %s: consumer %s: %w", f.stream, f.conf.Name, err)
	}
	info := c.CachedInfo()
	if len(info.PriorityGroups) > 0 && info.PriorityGroups[0].PinnedClientID != "" || info.NumPending > 0 {
		return nil // someone is active, or is about to be
	}
	after, err := f.handler.Begin(ctx)
	if err != nil {
		return &handlerError{err}
	}
	if info.NumAckPending == 0 && after >= info.AckFloor.Stream {
		return nil
	}
	_, err = f.n.js.ResetConsumerToSequence(ctx, f.stream, f.conf.Name, after+1)
	return err
}

var (
	errSilent     = errors.New("the server has lost the pull request")
	errPinLost    = errors.New("another member is active")
	errNoConsumer = errors.New("the consumer, or its leader, is gone")
)

// session is a subscription of its own, so that what was delivered before it does not come into it.
type session struct {
	f        *feed
	inbox    string // with its dot
	sub      *nats.Subscription
	messages chan *nats.Msg

	asked uint64    // the number of the last request
	left  int       // messages still to come for it
	fresh bool      // none has come
	large bool      // the next message is larger than the last request allowed, as from before the server's limit was lowered
	heard time.Time // when the server last showed that it is there, and has the last request
	lost  error     // why no further message comes

	next    uint64 // the consumer's sequence of the next message
	last    uint64 // the stream's sequence of the last message
	reply   string // of the last record handed over
	waiting []Record
	size    int    // their bytes
	replies string // of the last message, which is waiting or no record
	acked   string // the last that was acknowledged
	pending uint64
}

func (f *feed) session() (*session, error) {
	s := &session{f: f, inbox: f.n.nc.NewInbox() + ".", heard: time.Now(), next: 1,
		messages: make(chan *nats.Msg, 4*f.conf.Batch)}
	sub, err := f.n.nc.ChanSubscribe(s.inbox+"*", s.messages)
	if err != nil {
		return nil, fmt.Errorf("stream %s: subscribing to its records: %w", f.stream, err)
	}
	s.sub = sub
	return s, nil
}

func (s *session) end() { _ = s.sub.Unsubscribe() }

// feedPull is how long a pull request waits.
const feedPull = 5 * time.Second

type pullRequest struct {
	Batch     int           `json:"batch"`
	MaxBytes  int           `json:"max_bytes,omitempty"`
	Expires   time.Duration `json:"expires,omitempty"`
	NoWait    bool          `json:"no_wait,omitempty"`
	Heartbeat time.Duration `json:"idle_heartbeat,omitempty"`
	Group     string        `json:"group,omitempty"`
	Pin       string        `json:"id,omitempty"`
}

func (s *session) pull(batch int) error {
	bytes := s.f.n.bytesFor(batch)
	if s.large {
		batch, bytes = 1, 0
	}
	s.asked++
	s.left, s.fresh, s.large = batch, true, false
	return s.request(strconv.FormatUint(s.asked, 10), pullRequest{
		Batch: batch, MaxBytes: bytes, Expires: feedPull, Heartbeat: heartbeatWithin(feedPull), Group: feedGroup, Pin: s.f.pin,
	})
}

// renewed is the token of the requests that only renew the pin.
const renewed = "pin"

// renew asks for what is there now, one message at most: that renews the pin.
func (s *session) renew() error {
	return s.request(renewed, pullRequest{Batch: 1, NoWait: true, Group: feedGroup, Pin: s.f.pin})
}

func (s *session) request(token string, r pullRequest) error {
	body, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if !s.f.n.nc.IsConnected() {
		return nats.ErrDisconnected
	}
	return s.f.n.nc.PublishRequest(s.f.n.api+"CONSUMER.MSG.NEXT."+s.f.stream+"."+s.f.conf.Name, s.inbox+token, body)
}

// status takes a status, and reports whether the message is one.
func (s *session) status(m *nats.Msg) (is bool) {
	token, is := strings.CutPrefix(m.Subject, s.inbox)
	if token != renewed || s.left == 0 { // a server that was restarted answers renewals, and has lost the request
		s.heard = time.Now()
	}
	if !is {
		return false
	}
	status, text := m.Header.Get(statusHeader), m.Header.Get("Description")
	switch {
	case status == statusPinLost:
		s.f.pin, s.left, s.lost = "", 0, errPinLost
	case status == statusNoResponders: // to a renewal, too: the server may not have told the request before that its consumer is gone
		s.left, s.lost = 0, errNoConsumer
	case status == statusHeartbeat, token != strconv.FormatUint(s.asked, 10):
		// of an earlier request, or a renewal that found nothing
	case status == statusExpired || status == statusNoBody:
		s.left = 0
	case strings.HasPrefix(text, textBatchDone):
		s.left = 0
	case strings.HasPrefix(text, textBytesDone):
		s.left, s.large = 0, s.fresh
	default: // the consumer or its leader is gone, or a limit of the server's was met
		s.left = 0
		s.lost = fmt.Errorf("stream %s: pull ended: %s %s", s.f.stream, status, text)
	}
	return true
}

// done is what the handler has to say of a batch, or of its beginning.
type done struct {
	after uint64
	err   error
}

// run reads until something is amiss. The handler runs on a goroutine of its own, so that the pin is renewed meanwhile.
func (s *session) run(ctx context.Context, cancel context.CancelFunc) error {
	work, results := make(chan FeedBatch), make(chan done, 1)
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		after, err := s.f.handler.Begin(ctx)
		if err != nil {
			results <- done{err: &handlerError{err}}
			return
		}
		results <- done{after: after}
		for batch := range work {
			if err := s.f.handler.Apply(ctx, batch); err != nil {
				results <- done{err: &handlerError{err}}
				continue
			}
			results <- done{}
		}
	}()
	defer func() {
		cancel()
		close(work)
		<-finished
	}()
	return s.loop(ctx, work, results)
}

func (s *session) loop(ctx context.Context, work chan<- FeedBatch, results <-chan done) error { //nolint:gocognit // the one place where a session waits
	renewal := time.NewTicker(pinRenewal)
	defer renewal.Stop()
	begun, busy, quiet := false, true, false
	handed := time.Now()
	for {
		var hand chan<- FeedBatch
		if !busy && (len(s.waiting) > 0 || quiet) {
			hand = work
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case r := <-results:
			switch {
			case r.err != nil:
				return r.err
			case !begun:
				if err := s.begin(ctx, r.after); err != nil {
					return err
				}
				begun = true
			default:
				s.f.progressed = true
				if err := s.ack(s.reply); err != nil {
					return err
				}
			}
			busy = false
		case hand <- FeedBatch{Records: s.waiting, Pending: s.pending + uint64(len(s.messages))}:
			busy, quiet, s.reply, s.waiting, s.size, handed = true, false, s.replies, nil, 0, time.Now()
		case m := <-s.messages:
			if err := s.take(m, begun); err != nil {
				return err
			}
		case now := <-renewal.C:
			if now.Sub(s.heard) > pullSilence {
				return errSilent
			}
			if err := s.renew(); err != nil {
				return err
			}
			if begun && !busy && len(s.waiting) == 0 { // timers and emissions, which are no records
				if err := s.ack(s.replies); err != nil {
					return err
				}
				quiet = now.Sub(handed) >= feedQuiet
			}
		}
		// A batch at a time, and the next is asked for while the one before is with the handler.
		if begun && s.left == 0 && len(s.waiting)+len(s.messages) < s.f.conf.Batch && s.size < pullBytes {
			if err := s.pull(s.f.conf.Batch); err != nil {
				return err
			}
		}
	}
}

// begin has the consumer go on after a sequence. What was asked for before comes to the subscription that is ended here;
// should such a request reach the server after the reset, a hole is what tells.
func (s *session) begin(ctx context.Context, after uint64) error {
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	if _, err := s.f.n.js.ResetConsumerToSequence(ctx, s.f.stream, s.f.conf.Name, after+1); err != nil {
		return fmt.Errorf("stream %s: resetting the consumer %s: %w", s.f.stream, s.f.conf.Name, err)
	}
	fresh, err := s.f.session()
	if err != nil {
		return err
	}
	s.end()
	fresh.last, fresh.asked = after, s.asked
	*s = *fresh
	return nil
}

// ack acknowledges all up to a delivery, unless that was done before.
func (s *session) ack(reply string) error {
	if reply == s.acked {
		return nil
	}
	s.acked = reply
	return s.f.n.nc.Publish(reply, []byte(ackDone))
}

// take puts a message among those that wait for the handler.
func (s *session) take(m *nats.Msg, begun bool) error {
	if s.status(m) {
		return s.lost
	}
	if !begun {
		return nil // it comes again after the reset
	}
	if pin := m.Header.Get(headerPin); pin != s.f.pin {
		s.f.pin = pin // it was lost meanwhile: someone else may have moved the consumer
		return errDisorder
	}
	s.left, s.fresh = max(s.left-1, 0), false
	a, err := parseAck(m.Reply)
	if err != nil {
		return fmt.Errorf("stream %s: %w", s.f.stream, err)
	}
	if a.delivery != s.next || a.sequence <= s.last {
		return errDisorder
	}
	s.next, s.last, s.pending, s.replies = s.next+1, a.sequence, a.pending, m.Reply
	if r, ok := s.f.n.newRecord(m.Subject, m.Header, m.Data, a.sequence, a.at); ok {
		s.waiting = append(s.waiting, r)
		s.size += len(r.Data)
	}
	return nil
}

// Home gives the stream that holds a saga.
func (n *Namespace) Home(key saga.Key) string { return n.stream(key) }

package streams

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/jetsaga/jetsaga/saga"
)

// CommitRecord is a commit as a subscription brings it: decoded as far as this build knows it, or with the error that kept
// it from that. The key is missing where it is the subject that could not be read.
type CommitRecord struct {
	Key    saga.Key
	Commit saga.Commit
	Err    error
}

// CommitHandler takes what a subscription brings. Its methods are called one after another.
type CommitHandler interface {
	// Subscribed is called when everything that is stored from now on is going to come.
	Subscribed()
	// Commit takes a commit, and reports whether to go on.
	Commit(c CommitRecord) bool
}

// SubscribeSaga brings the commits of a saga's log from a version on, 0 for those to come, until the handler has enough or
// ctx ends, whose error it then gives. Each comes once and in order, whatever happens to servers and connections. Where a
// stream was set back, as by a power cut, it goes on from the end that it then has. The error is [ErrNotFound] where the stream
// is gone.
func (n *Namespace) SubscribeSaga(ctx context.Context, key saga.Key, from uint64, h CommitHandler) error {
	if err := key.Validate(); err != nil {
		return err
	}
	s := &subscription{n: n, stream: n.stream(key), filter: n.subjects.commits(key), handler: fromVersion{h, from}}
	if from == 0 {
		s.after = theEnd
	}
	if err := s.run(ctx); err != nil {
		return fmt.Errorf("saga %s: subscribing to its log: %w", key, err)
	}
	return nil
}

// fromVersion passes over commits of versions before one.
type fromVersion struct {
	CommitHandler
	from uint64
}

func (h fromVersion) Commit(c CommitRecord) bool {
	return c.Err == nil && c.Commit.Version < h.from || h.CommitHandler.Commit(c)
}

// SubscribeStream brings the commits to come to a stream, of one definition's sagas or, where that is empty, of all; in all
// else it is as [Namespace.SubscribeSaga].
func (n *Namespace) SubscribeStream(ctx context.Context, stream, definition string, h CommitHandler) error {
	if definition == "" {
		definition = "*"
	}
	s := &subscription{n: n, stream: stream, filter: n.subjects.commitsOf(definition), after: theEnd, handler: h}
	if err := s.run(ctx); err != nil {
		return fmt.Errorf("stream %s: subscribing to it: %w", stream, err)
	}
	return nil
}

// The times of a subscription. Its consumer goes by itself when it has not been asked for subscriptionKept. An attempt that
// has failed is made again after a rest, longer and longer while nothing is heard of the server.
const (
	subscriptionPull    = 30 * time.Second
	subscriptionBeat    = 2 * time.Second
	subscriptionSilence = 2*subscriptionBeat + subscriptionBeat/2
	subscriptionKept    = time.Minute

	subscriptionRest     = 20 * time.Millisecond
	subscriptionRestMost = 2 * time.Second
)

// subscriptionBatch is how many commits a subscription asks for at a time, and subscriptionStatuses how many statuses may
// come beside them.
const (
	subscriptionBatch    = 256
	subscriptionStatuses = 32
)

// theEnd has a subscription begin with what is to come.
const theEnd = math.MaxUint64

var (
	errEnough    = errors.New("the handler has enough")
	errConnected = errors.New("the connection was made anew")
)

// subscription reads a stream by one consumer after another: each ends where its order is in doubt, and the next goes on
// after what was handed over last. An ordered consumer of nats.go does not do: it can be stopped only between its attempts,
// makes them for ever where the stream is gone, and begins one to come anew at the end as long as nothing has come.
type subscription struct {
	n       *Namespace
	stream  string
	filter  string
	after   uint64 // the sequence of what was handed over last, or after which to begin
	handler CommitHandler

	begun bool // the handler was told
	heard bool // of the server, since the attempt began
}

func (s *subscription) run(ctx context.Context) error {
	for rest := time.Duration(0); ; {
		err := s.attempt(ctx)
		switch {
		case errors.Is(err, errEnough):
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case s.n.nc.IsClosed():
			return nats.ErrConnectionClosed
		case !s.begun, errors.Is(err, ErrNotFound):
			return err
		}
		if s.heard {
			rest, s.heard = 0, false
		}
		if rest == 0 && !errors.Is(err, errConnected) {
			s.n.conf.Logger.Warn("a subscription is interrupted", "stream", s.stream, "error", err)
		}
		rest = min(2*rest+subscriptionRest, subscriptionRestMost)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(rest):
		}
	}
}

// consumer creates a consumer and gives its name.
func (s *subscription) consumer(ctx context.Context) (string, error) {
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	// The first sequence is held from here on, so that nothing is missed while there is no consumer. From one beyond the end of
	// a stream that was set back, the server would pass over what is stored up to it.
	last, err := s.n.LastSequence(ctx, s.stream)
	if err != nil {
		return "", err
	}
	s.after = min(s.after, last)
	c, err := s.n.js.CreateConsumer(ctx, s.stream, jetstream.ConsumerConfig{
		FilterSubject: s.filter, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: s.after + 1,
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: subscriptionKept,
	})
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return "", ErrNotFound
	}
	if err != nil {
		return "", err
	}
	return c.CachedInfo().Name, nil
}

// attempt reads by one consumer until something is amiss.
func (s *subscription) attempt(ctx context.Context) error {
	changed := s.n.nc.StatusChanged(nats.CONNECTED, nats.CLOSED)
	defer s.n.nc.RemoveStatusListener(changed)
	name, err := s.consumer(ctx)
	if err != nil {
		return err
	}
	// There is room for all that one request brings, and the next is made when that is taken.
	messages := make(chan *nats.Msg, subscriptionBatch+subscriptionStatuses)
	p := subscriptionPulls{s: s, inbox: s.n.nc.NewInbox() + ".", next: 1,
		subject: s.n.api + "CONSUMER.MSG.NEXT." + s.stream + "." + name}
	sub, err := s.n.nc.ChanSubscribe(p.inbox+"*", messages)
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }()
	if !s.begun {
		s.begun = true
		s.handler.Subscribed()
	}
	silence := time.NewTimer(subscriptionSilence)
	defer silence.Stop()
	for {
		if p.left == 0 {
			if err := p.pull(); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
			return errConnected
		case <-silence.C:
			return errSilent
		case m := <-messages:
			if err := p.take(m); err != nil {
				return err
			}
			s.heard = true
			silence.Reset(subscriptionSilence)
		}
	}
}

// subscriptionPulls are the requests to one consumer, of which one is under way at a time.
type subscriptionPulls struct {
	s       *subscription
	subject string // where to ask
	inbox   string // with its dot; each request adds its number
	asked   uint64 // the number of the last request
	left    int    // commits still to come for it
	fresh   bool   // none has come
	large   bool   // the next is larger than the last request allowed, as from before the server's limit was lowered
	next    uint64 // the consumer's sequence of the next commit
}

func (p *subscriptionPulls) pull() error {
	p.left = subscriptionBatch
	bytes := p.s.n.bytesFor(p.left)
	if p.large {
		p.left, bytes = 1, 0
	}
	p.asked++
	p.fresh, p.large = true, false
	body, err := json.Marshal(pullRequest{Batch: p.left, MaxBytes: bytes, Expires: subscriptionPull, Heartbeat: subscriptionBeat})
	if err != nil {
		return err
	}
	return p.s.n.nc.PublishRequest(p.subject, p.inbox+strconv.FormatUint(p.asked, 10), body)
}

// take hands a commit over, or deals with a status.
func (p *subscriptionPulls) take(m *nats.Msg) error {
	if number, is := strings.CutPrefix(m.Subject, p.inbox); is {
		return p.status(number, m.Header.Get(statusHeader), m.Header.Get("Description"))
	}
	a, err := parseAck(m.Reply)
	if err != nil {
		return err
	}
	if a.delivery != p.next || a.sequence <= p.s.after {
		return errDisorder
	}
	p.next, p.left, p.fresh, p.s.after = p.next+1, p.left-1, false, a.sequence
	if m.Header.Get(HeaderHistoric) == historicPurged {
		return nil
	}
	key, _, err := p.s.n.subjects.parse(m.Subject)
	var c saga.Commit
	if err == nil {
		c, err = saga.DecodeKnown(m.Data)
	}
	if !p.s.handler.Commit(CommitRecord{key, c, err}) {
		return errEnough
	}
	return nil
}

func (p *subscriptionPulls) status(number, status, text string) error {
	switch {
	case status == statusHeartbeat, number != strconv.FormatUint(p.asked, 10): // of an earlier request
	case status == statusExpired, strings.HasPrefix(text, textBatchDone):
		p.left = 0
	case strings.HasPrefix(text, textBytesDone):
		p.left, p.large = 0, p.fresh
	default:
		return fmt.Errorf("pull ended: %s %s", status, text)
	}
	return nil
}

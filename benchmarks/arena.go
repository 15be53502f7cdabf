package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/shard"
	"github.com/jetsaga/jetsaga/streams"
)

// arena is where one measurement takes place: a new namespace, whose streams are as the engine sets them up whoever
// works in it. The client and the worker have a connection each, as if they were two processes.
type arena struct {
	server    *server
	namespace string
	streams   int
	ns        *streams.Namespace
	worker    *nats.Conn
	client    *nats.Conn
}

// openArena makes a namespace on a server. Names of one length make messages of one length.
func openArena(ctx context.Context, s *server, number, streamCount int) (_ *arena, err error) {
	a := &arena{server: s, namespace: fmt.Sprintf("bench-%d-%05d", time.Now().UnixMilli(), number), streams: streamCount}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.close(ctx))
		}
	}()
	if a.worker, err = s.connect(); err != nil {
		return nil, err
	}
	if a.client, err = s.connect(); err != nil {
		return nil, err
	}
	a.ns, err = streams.Ensure(ctx, streams.Config{Conn: a.client, Namespace: a.namespace, Streams: streamCount})
	return a, err
}

// close deletes the namespace and all its sagas.
func (a *arena) close(ctx context.Context) error {
	var errs []error
	if a.ns != nil {
		for _, name := range append(a.ns.Streams(), a.ns.DeadStream()) {
			errs = append(errs, a.ns.JetStream().DeleteStream(ctx, name))
		}
	}
	for _, nc := range []*nats.Conn{a.worker, a.client} {
		if nc != nil {
			nc.Close()
		}
	}
	return errors.Join(errs...)
}

// subject gives one of a saga's subjects, as streams/doc.go documents them.
func (a *arena) subject(id, last string) string {
	return "saga." + a.namespace + "." + shard.Of(definitionName, id).String() + "." + definitionName + "." + id + "." + last
}

// The last tokens of the subjects that the floor uses.
const (
	commands = "cmd"
	commits  = "evt"
)

const idPrefix = "order-"

// sagaID gives the id of the i-th saga of an arena; all are of one length.
func sagaID(i int) string { return fmt.Sprintf("%s%08d", idPrefix, i) }

// sagaNumber is the inverse of sagaID, and -1 for what is none of its ids.
func sagaNumber(id string) int {
	digits, ok := strings.CutPrefix(id, idPrefix)
	n, err := strconv.Atoi(digits)
	if !ok || err != nil {
		return -1
	}
	return n
}

// fill sends the Start commands of sagas from to before upTo, as many clients would have, and returns when all are
// stored.
func (a *arena) fill(ctx context.Context, from, upTo int) error {
	const pending = 4000
	failed := make(chan error, 1)
	nc, err := a.server.connect() // with which all that the publisher keeps goes
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(pending),
		jetstream.WithPublishAsyncErrHandler(func(_ jetstream.JetStream, m *nats.Msg, err error) {
			select {
			case failed <- fmt.Errorf("filling the backlog: %s: %w", m.Subject, err):
			default:
			}
		}))
	if err != nil {
		return err
	}
	state, err := theState()
	if err != nil {
		return err
	}
	for i := from; i < upTo; i++ {
		data, err := saga.EncodeCommand(saga.Start{Run: engine.NewID(), Definition: 1, State: state, Time: time.Now().UTC()})
		if err != nil {
			return err
		}
		m := newMessage(a.subject(sagaID(i), commands), data, 0)
		if _, err := js.PublishMsgAsync(m, jetstream.WithStallWait(time.Minute)); err != nil {
			return fmt.Errorf("filling the backlog: %w", err)
		}
	}
	select {
	case <-js.PublishAsyncComplete():
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// newMessage makes a message that is stored only if the last one of its subject stands at that sequence.
func newMessage(subject string, data []byte, after uint64) *nats.Msg {
	return &nats.Msg{
		Subject: subject, Data: data,
		Header: nats.Header{jetstream.ExpectedLastSubjSeqHeader: []string{strconv.FormatUint(after, 10)}},
	}
}

// stored gives how many messages the namespace's streams hold.
func (a *arena) stored(ctx context.Context) (int, error) {
	total := 0
	for _, name := range a.ns.Streams() {
		s, err := a.ns.JetStream().Stream(ctx, name)
		if err != nil {
			return 0, err
		}
		total += int(s.CachedInfo().State.Msgs) //nolint:gosec // far below the limit of an int
	}
	return total, nil
}

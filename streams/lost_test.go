package streams_test

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/streams"
	"github.com/jetsaga/jetsaga/testutil"
)

// faulty is a JetStream to which faults happen: one to each publish that does not wait, as long as there are some.
type faulty struct {
	jetstream.JetStream
	faults chan func() (jetstream.PubAckFuture, error)
}

func (f *faulty) PublishMsgAsync(m *nats.Msg, opts ...jetstream.PublishOpt) (jetstream.PubAckFuture, error) {
	select {
	case fault := <-f.faults:
		return fault()
	default:
		return f.JetStream.PublishMsgAsync(m, opts...)
	}
}

// future is the future of an acknowledgement; the zero value of one that never comes, as when the stream's leader dies
// while the connection to another server goes on.
type future struct {
	jetstream.PubAckFuture
	err chan error
}

func (f future) Ok() <-chan *jetstream.PubAck { return nil }
func (f future) Err() <-chan error            { return f.err }

func lost() (jetstream.PubAckFuture, error) { return future{}, nil }

func notSent() (jetstream.PubAckFuture, error) { return nil, errors.New("not sent") }

func failed() (jetstream.PubAckFuture, error) {
	err := make(chan error, 1)
	err <- jetstream.ErrNoStreamResponse
	return future{err: err}, nil
}

// faultyNamespace gives a namespace whose publishes suffer faults.
func faultyNamespace(t *testing.T, faults ...func() (jetstream.PubAckFuture, error)) *streams.Namespace {
	t.Helper()
	nc := testutil.Connect(t, testutil.NATS(t))
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	f := &faulty{js, make(chan func() (jetstream.PubAckFuture, error), len(faults))}
	ns := ensureOn(t, nc, streams.Config{JetStream: f})
	for _, fault := range faults {
		f.faults <- fault
	}
	return ns
}

func TestATimerWhoseScheduleIsNotStoredIsSentAgain(t *testing.T) {
	ns := faultyNamespace(t, failed, notSent, failed, notSent, notSent)
	soon := map[string]saga.PendingTimer{"soon": {At: time.Now(), Version: 1}}
	if err := ns.SetTimers(t.Context(), key("o-1"), soon); err != nil {
		t.Fatal(err)
	}
	if c, err := saga.DecodeCommand(await(t, pull(t, ns, 10)).Data); err != nil || c.CommandID() != "soon" {
		t.Errorf("fired: %v, %v", c, err)
	}
}

func TestACommitWhoseScheduleIsLostIsStoredWithIt(t *testing.T) {
	t.Parallel() // it waits for as long as an answer may take
	ns := faultyNamespace(t, lost)
	c := started(t)
	c.Events = append(c.Events, saga.TimerSet{Name: "soon", At: time.Now()}, saga.SagaParked{})
	if _, err := ns.Log().Append(t.Context(), key("o-1"), 0, c); err != nil {
		t.Fatal(err)
	}
	if c, err := saga.DecodeCommand(await(t, pull(t, ns, 10)).Data); err != nil || c.CommandID() != "soon" {
		t.Errorf("fired: %v, %v", c, err)
	}
}

func TestAnEmissionWhoseAnswerIsLostIsToldSoThatItIsSentAgain(t *testing.T) {
	t.Parallel() // as the one above
	ns := faultyNamespace(t, lost)
	emissions := []saga.Emission{{ID: "e-1", Topic: "shipped", Payload: []byte("1")}}
	if err := ns.Emit(t.Context(), key("o-1"), emissions); err == nil {
		t.Fatal("it is taken for published")
	}
	if err := ns.Emit(t.Context(), key("o-1"), emissions); err != nil {
		t.Error(err)
	}
}

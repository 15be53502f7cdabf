package streams_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/streams"
	"github.com/jetsaga/jetsaga/testutil"
)

const patience = 10 * time.Second

// pull asks every stream for so many commands of place-order and gives what is delivered.
func pull(t *testing.T, ns *streams.Namespace, slots int) chan *streams.Delivery {
	t.Helper()
	deliveries := make(chan *streams.Delivery, 100)
	pullers, err := ns.Pull(t.Context(), "place-order", streams.PullHandlers{
		Delivered: func(_ *streams.Puller, d *streams.Delivery) { deliveries <- d },
		Returned:  func(*streams.Puller, int, error) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pullers {
		t.Cleanup(p.Stop)
		if err := p.Request(slots, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	return deliveries
}

// await waits for one value.
func await[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatal("waited in vain")
		panic("unreachable")
	}
}

func start(t *testing.T, ns *streams.Namespace, id, run string) {
	t.Helper()
	if err := ns.Start(t.Context(), key(id), saga.Start{Run: run, State: state(t, `{}`)}, 0); err != nil {
		t.Fatal(err)
	}
}

func TestAStartIsStoredOnce(t *testing.T) {
	ns := ensure(t)
	start(t, ns, "o-1", "r-1")
	err := ns.Start(t.Context(), key("o-1"), saga.Start{Run: "r-2"}, 0)
	if !errors.Is(err, streams.ErrExists) {
		t.Errorf("a second Start: %v, want ErrExists", err)
	}
	starts, last, err := ns.Starts(t.Context(), key("o-1"))
	if err != nil || len(starts) != 1 || starts[0].Run != "r-1" {
		t.Fatalf("starts are %v, %v", starts, err)
	}
	if err := ns.Start(t.Context(), key("o-1"), saga.Start{Run: "r-2", Previous: "r-1"}, last); err != nil {
		t.Errorf("a Start after the last command: %v", err)
	}
	if starts, _, err = ns.Starts(t.Context(), key("o-1")); err != nil || len(starts) != 2 || starts[1].Run != "r-2" {
		t.Errorf("starts are %v, %v", starts, err)
	}
	if starts, last, err := ns.Starts(t.Context(), key("o-2")); err != nil || len(starts) != 0 || last != 0 {
		t.Errorf("a saga that never was: %v, %d, %v", starts, last, err)
	}
}

func TestBadNamesReachNoSubject(t *testing.T) {
	ns := ensure(t)
	for _, bad := range []saga.Key{{}, {Definition: "a"}, {ID: "a"}, {Definition: "a.b", ID: "c"}, {Definition: "a", ID: "*"}} {
		var name *saga.InvalidNameError
		if err := ns.Start(t.Context(), bad, saga.Start{Run: "r"}, 0); !errors.As(err, &name) {
			t.Errorf("Start(%+v): %v, want an InvalidNameError", bad, err)
		}
		if err := ns.Send(t.Context(), bad, saga.Cancel{ID: "c"}); !errors.As(err, &name) {
			t.Errorf("Send(%+v): %v, want an InvalidNameError", bad, err)
		}
	}
}

func TestNoMoreIsDeliveredThanWasAskedFor(t *testing.T) {
	ns := ensureOn(t, testutil.Connect(t, testutil.NATS(t)), streams.Config{Streams: 1})
	for _, id := range []string{"a", "b", "c"} {
		start(t, ns, id, "r-"+id)
	}
	deliveries := pull(t, ns, 2)
	await(t, deliveries)
	await(t, deliveries)
	select {
	case d := <-deliveries:
		t.Errorf("%v was delivered beyond two", d.Key)
	case <-time.After(streams.AckWait / 2):
	}
}

func TestACommandThatIsNotAnsweredIsDeliveredAgain(t *testing.T) {
	machine := testutil.WatchMachine(t)
	ns := ensure(t)
	start(t, ns, "o-1", "r-1")
	deliveries := pull(t, ns, 10)
	first := await(t, deliveries)
	begun := time.Now()
	second := await(t, deliveries)
	if first.Count != 1 || second.Count != 2 || second.Sequence != first.Sequence || second.Key != key("o-1") {
		t.Errorf("deliveries are %+v and %+v", first, second)
	}
	if took := time.Since(begun); took > 2*streams.AckWait && machine.HoldsTimes(t) {
		t.Errorf("it took %v, AckWait is %v", took, streams.AckWait)
	}
	if err := second.Ack(); err != nil {
		t.Fatal(err)
	}
	select {
	case d := <-deliveries:
		t.Errorf("delivered after the ack: %+v", d)
	case <-time.After(2 * streams.AckWait):
	}
}

func TestAHeartbeatKeepsACommand(t *testing.T) {
	machine := testutil.WatchMachine(t)
	ns := ensure(t)
	start(t, ns, "o-1", "r-1")
	deliveries := pull(t, ns, 10)
	d := await(t, deliveries)
	heartbeat := time.NewTicker(streams.HeartbeatEvery)
	defer heartbeat.Stop()
	for end := time.After(3 * streams.AckWait); ; {
		select {
		case again := <-deliveries:
			if machine.HoldsTimes(t) {
				t.Fatalf("delivered again: %v, %d", again.Key, again.Count)
			}
			return
		case <-heartbeat.C:
			if err := d.InProgress(); err != nil {
				t.Fatal(err)
			}
			continue
		case <-end:
		}
		break
	}
}

func TestACommandCanBeGivenBackForLater(t *testing.T) {
	ns := ensure(t)
	start(t, ns, "o-1", "r-1")
	deliveries := pull(t, ns, 10)
	begun := time.Now()
	const rest = 300 * time.Millisecond
	if err := await(t, deliveries).Retry(rest); err != nil {
		t.Fatal(err)
	}
	if d, took := await(t, deliveries), time.Since(begun); d.Count != 2 || took < rest {
		t.Errorf("delivery %d came after %v", d.Count, took)
	}
}

func TestACommandThatWasSetAsideIsKeptWithItsReason(t *testing.T) {
	ns := ensure(t)
	start(t, ns, "o-1", "r-1")
	d := await(t, pull(t, ns, 10))
	for range 2 { // once, however often
		if err := ns.SetAside(t.Context(), d, errors.New("it makes\nno sense")); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := ns.DeadLetters(t.Context()); err != nil || n != 1 {
		t.Errorf("%d dead letters, %v", n, err)
	}
	stream, err := ns.JetStream().Stream(t.Context(), ns.DeadStream())
	if err != nil {
		t.Fatal(err)
	}
	m, err := stream.GetMsg(t.Context(), 1)
	if err != nil || m.Header.Get(streams.HeaderReason) != "it makes no sense" || !bytes.Equal(m.Data, d.Data) {
		t.Errorf("the dead letter is %+v, %v", m, err)
	}
}

func TestAWorkerHearsItsPokes(t *testing.T) {
	ns := ensure(t)
	heard := make(chan saga.Key, 1)
	sub, err := ns.OnPoke("w-1", func(k saga.Key) { heard <- k })
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := ns.Poke("w-2", key("o-1")); err != nil {
		t.Fatal(err)
	}
	if err := ns.Poke("w-1", key("größe/1")); err != nil {
		t.Fatal(err)
	}
	select {
	case k := <-heard:
		if k != key("größe/1") {
			t.Errorf("heard %v", k)
		}
	case <-time.After(patience):
		t.Error("heard nothing")
	}
}

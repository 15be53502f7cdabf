package engine_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/streams"
)

// faulty is a worker of a build with a fault: it sets aside the first command that it gets, having done do.
func faulty(t *testing.T, c *engine.Client, definition string, do func(*streams.Delivery)) {
	t.Helper()
	deliveries := make(chan *streams.Delivery, 1)
	pullers, err := c.Namespace().Pull(t.Context(), definition, streams.PullHandlers{
		Delivered: func(_ *streams.Puller, d *streams.Delivery) { deliveries <- d },
		Returned:  func(*streams.Puller, int, error) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		for _, p := range pullers {
			p.Abandon(nil)
			p.Stop()
		}
	}()
	for _, p := range pullers {
		if err := p.Request(1, patience); err != nil {
			t.Fatal(err)
		}
	}
	d := receive(t, deliveries)
	if do != nil {
		do(d)
	}
	if err := c.Namespace().SetAside(t.Context(), d, errors.New("a fault")); err != nil {
		t.Fatal(err)
	}
}

func TestARedrivenCommandRunsItsSagaOnceTheFaultIsMended(t *testing.T) {
	f := newFleet(t)
	var ran atomic.Int32
	def := threeSteps(t, func(ctx context.Context, s *trip) error {
		ran.Add(1)
		return does("hotel")(ctx, s)
	}, saga.RetryPolicy{})
	client := f.client()
	trips := engine.For(client, def)
	if _, err := trips.Start(t.Context(), "t-1", trip{}); err != nil {
		t.Fatal(err)
	}
	faulty(t, client, "trip", nil)
	f.engine(engine.Config{}, def)
	letters, err := client.DeadLetters(t.Context(), engine.LetterQuery{})
	if err != nil || len(letters) != 1 || letters[0].Command != "Start" || letters[0].Undecodable != nil {
		t.Fatalf("the dead letters are %+v, %v", letters, err)
	}
	if s, err := trips.Get(t.Context(), "t-1"); err != nil || s.Status != saga.StatusPending {
		t.Fatalf("before, the saga is %+v, %v", s, err)
	}
	if _, err := client.Redrive(t.Context(), letters[0].Number); err != nil {
		t.Fatal(err)
	}
	if s, err := trips.Wait(withPatience(t), "t-1"); err != nil || s.State.Log != "flight hotel car " || ran.Load() != 1 {
		t.Errorf("it ended as %+v, %v; its step ran %d times", s, err, ran.Load())
	}
	if _, err := client.Redrive(t.Context(), letters[0].Number); !errors.Is(err, streams.ErrNoLetter) {
		t.Errorf("redriven again: %v, want ErrNoLetter", err)
	}
}

func TestARedrivenCommandGoesOnWhereItWasSetAside(t *testing.T) {
	f := newFleet(t)
	var flights atomic.Int32
	def := saga.Must(saga.Define("trip", 1,
		saga.Step("flight", func(ctx context.Context, s *trip) error {
			flights.Add(1)
			return does("flight")(ctx, s)
		}),
		saga.Step("car", does("car"))))
	client := f.client()
	trips := engine.For(client, def)
	started, err := trips.Start(t.Context(), "t-1", trip{})
	if err != nil {
		t.Fatal(err)
	}
	faulty(t, client, "trip", func(d *streams.Delivery) {
		patch := saga.Patch{}
		if patch.Set, err = saga.ParseState([]byte(`{"log":"flown "}`)); err != nil {
			t.Fatal(err)
		}
		c := &saga.Commit{
			Version: 1, Time: time.Now().UTC(), By: saga.Owner{Worker: "faulty", Command: started.Run, Delivery: d.Count},
			Events: []saga.Event{
				saga.SagaStarted{Run: started.Run, Definition: 1},
				saga.StepCompleted{Step: "flight", Attempt: 1, Patch: patch},
			},
		}
		if _, err := client.Namespace().Log().Append(t.Context(), d.Key, 0, c); err != nil {
			t.Fatal(err)
		}
	})
	f.engine(engine.Config{}, def)
	if _, err := client.Redrive(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if s, err := trips.Wait(withPatience(t), "t-1"); err != nil || s.State.Log != "flown car " || flights.Load() != 0 {
		t.Errorf("it ended as %+v, %v; its first step ran %d times more", s, err, flights.Load())
	}
}

func TestGarbageIsShownAndDropped(t *testing.T) {
	f := newFleet(t)
	def := threeSteps(t, does("hotel"), saga.RetryPolicy{})
	told := make(chan saga.Key, 1)
	f.engine(engine.Config{Hooks: engine.Hooks{SetAside: func(key saga.Key, _ error) { told <- key }}}, def)
	client := f.client()
	subject := "saga.default." + shardOf("trip", "g-1") + ".trip.g-1.cmd"
	if _, err := client.Namespace().JetStream().Publish(t.Context(), subject, []byte("garbage")); err != nil {
		t.Fatal(err)
	}
	if key := receive(t, told); key.ID != "g-1" {
		t.Errorf("the hook was told of %v", key)
	}
	letter, err := client.DeadLetter(t.Context(), 1)
	if err != nil || string(letter.Data) != "garbage" || letter.Undecodable == nil || letter.Command != "" {
		t.Fatalf("the letter is %+v, %v", letter, err)
	}
	if _, err := client.DropDeadLetter(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if letters, err := client.DeadLetters(t.Context(), engine.LetterQuery{}); err != nil || len(letters) != 0 {
		t.Errorf("the dead letters are %+v, %v", letters, err)
	}
	if _, err := client.DeadLetters(t.Context(), engine.LetterQuery{Limit: -1}); err == nil {
		t.Error("a negative limit was taken")
	}
}

func TestGarbageAsLargeAsTheServerTakesIsSetAsideInPart(t *testing.T) {
	f := newFleet(t)
	def := threeSteps(t, does("hotel"), saga.RetryPolicy{})
	f.engine(engine.Config{Streams: 1, Slots: 1}, def)
	client := f.client()
	garbage := bytes.Repeat([]byte("garbage "), int(f.nc.MaxPayload()/8))
	if int64(len(garbage)) != f.nc.MaxPayload() {
		t.Fatalf("the garbage has %d bytes, the server takes %d", len(garbage), f.nc.MaxPayload())
	}
	dispatch(t, client, "g-1", garbage)
	awaitDeadLetters(t, client, 1)
	letter, err := client.DeadLetter(t.Context(), 1)
	if err != nil || !letter.Cut() || letter.Size != len(garbage) || !bytes.HasPrefix(garbage, letter.Data) || len(letter.Data) < len(garbage)/2 {
		t.Fatalf("the letter has %d of %d bytes, %v", len(letter.Data), letter.Size, err)
	}
	if !errors.Is(letter.Undecodable, streams.ErrLetterCut) {
		t.Errorf("it cannot be decoded because %v", letter.Undecodable)
	}
	if _, err := client.Redrive(t.Context(), 1); !errors.Is(err, streams.ErrLetterCut) {
		t.Errorf("redriven: %v, want ErrLetterCut", err)
	}
	if s, err := engine.For(client, def).Run(withPatience(t), "t-1", trip{}); err != nil || s.Status != saga.StatusCompleted {
		t.Errorf("afterwards a saga ended as %+v, %v", s, err)
	}
	if _, err := client.DropDeadLetter(t.Context(), 1); err != nil {
		t.Error(err)
	}
}

// dispatch sends something to a trip that may be no command.
func dispatch(t *testing.T, c *engine.Client, id string, data []byte) {
	t.Helper()
	subject := "saga.default." + shardOf("trip", id) + ".trip." + id + ".cmd"
	if _, err := c.Namespace().JetStream().Publish(t.Context(), subject, data); err != nil {
		t.Fatal(err)
	}
}

// withoutLetters removes the stream of dead letters, and gives the answers that workers give for commands.
func withoutLetters(t *testing.T, c *engine.Client) (answers chan *nats.Msg) {
	t.Helper()
	answers = make(chan *nats.Msg, 100)
	if _, err := c.Namespace().Conn().ChanSubscribe("$JS.ACK.>", answers); err != nil {
		t.Fatal(err)
	}
	if err := c.Namespace().JetStream().DeleteStream(t.Context(), "SAGA_default_DEAD"); err != nil {
		t.Fatal(err)
	}
	return answers
}

func TestALetterThatCannotBeStoredKeepsNoSlot(t *testing.T) {
	f := newFleet(t)
	def := threeSteps(t, does("hotel"), saga.RetryPolicy{})
	f.engine(engine.Config{Streams: 1, Slots: 1}, def)
	client := f.client()
	answers := withoutLetters(t, client)
	for _, id := range []string{"g-1", "g-2", "g-3"} {
		dispatch(t, client, id, []byte("garbage"))
		if answer := receive(t, answers); string(answer.Data) != `-NAK {"delay":5000000000}` {
			t.Errorf("%s was answered %s", id, answer.Data)
		}
	}
	if s, err := engine.For(client, def).Run(withPatience(t), "t-1", trip{}); err != nil || s.Status != saga.StatusCompleted {
		t.Errorf("meanwhile a saga ended as %+v, %v", s, err)
	}
}

func TestGarbageIsKeptAliveWhileItsLetterIsWritten(t *testing.T) {
	f := newFleet(t)
	def := threeSteps(t, does("hotel"), saga.RetryPolicy{})
	client := f.client()
	f.engine(engine.Config{}, def)
	answers := withoutLetters(t, client)
	letters := make(chan *nats.Msg, 100) // a stream that takes its time
	if _, err := f.nc.ChanSubscribe("saga.default.dead.>", letters); err != nil {
		t.Fatal(err)
	}
	dispatch(t, client, "g-1", []byte("garbage"))
	letter := receive(t, letters)
	for range 2 {
		if answer := receive(t, answers); string(answer.Data) != "+WPI" {
			t.Fatalf("the command was answered %s, want a sign of life", answer.Data)
		}
	}
	if err := letter.Respond([]byte(`{"stream":"SAGA_default_DEAD","seq":1}`)); err != nil {
		t.Fatal(err)
	}
	for {
		if answer := receive(t, answers); strings.HasPrefix(string(answer.Data), "+TERM") {
			break
		}
	}
	if len(letters) > 0 {
		t.Error("its letter was sent twice")
	}
}

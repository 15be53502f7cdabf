package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/shard"
	"github.com/jetsaga/jetsaga/streams"
)

// fickle is a definition whose trips end as their note says.
func fickle(t testing.TB) *saga.Definition[trip] {
	t.Helper()
	refuse := func(text string) error { return saga.Permanent(errors.New(text)) }
	def, err := saga.Define("trip", 1,
		saga.Step("flight", does("flight")).Compensate(func(_ context.Context, s *trip) error {
			if s.Note == "stuck" {
				return refuse("no refund")
			}
			return nil
		}),
		saga.Sleep("hotel", func(s *trip) time.Duration {
			if s.Note == "running" {
				return time.Hour
			}
			return 0
		}),
		saga.Step("car", func(ctx context.Context, s *trip) error {
			if s.Note != "completed" && s.Note != "running" {
				return refuse("no car")
			}
			return saga.Emit(ctx, "booked", s.Note)
		}),
	)
	if err != nil {
		t.Fatal(err)
	}
	return def
}

// travel starts trips that end as their ids say, and returns when all but those that go on have.
func travel(ctx context.Context, t testing.TB, c *engine.Client, def *saga.Definition[trip], ids ...string) {
	t.Helper()
	trips := engine.For(c, def)
	for _, id := range ids {
		note, _, _ := strings.Cut(id, "-")
		if _, err := trips.Start(ctx, id, trip{Note: note}); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range ids {
		if strings.HasPrefix(id, "running") {
			until(ctx, t, c, key(id), parked)
		} else if _, err := c.Wait(ctx, key(id)); err != nil {
			t.Fatal(err)
		}
	}
}

func key(id string) saga.Key { return saga.Key{Definition: "trip", ID: id} }

// soon keeps sagas for so short that they are due at once.
const soon = time.Nanosecond

func counts(all []engine.RetentionCount) string {
	var b strings.Builder
	for _, c := range all {
		fmt.Fprintf(&b, "%s %s %d; ", c.Definition, c.Status, c.Sagas)
	}
	return b.String()
}

func TestARetentionPurgesWhatIsDueAndNothingElse(t *testing.T) {
	f := newFleet(t)
	def := fickle(t)
	f.engine(engine.Config{ParkAfter: time.Millisecond}, def)
	client := f.client()
	ctx := withPatience(t)
	travel(ctx, t, client, def, "completed-1", "completed-2", "compensated-1", "stuck-1", "running-1")
	rules := engine.Retention{Rules: []engine.RetentionRule{
		{Definition: "other", Keep: time.Hour},
		{Status: saga.StatusCompensated, Keep: time.Hour},
		{Definition: "trip", Keep: soon},
	}}

	plan, err := client.PlanRetention(ctx, rules)
	if err != nil || plan.Sagas != 5 || plan.Purged != 0 || counts(plan.Due) != "trip completed 2; " {
		t.Fatalf("the plan is %+v, %v", plan, err)
	}
	if in, err := client.Get(ctx, key("completed-1")); err != nil || in.Status != saga.StatusCompleted {
		t.Fatalf("after a plan: %+v, %v", in, err)
	}
	report, err := client.Retain(ctx, rules)
	if err != nil || report.Purged != 2 || report.Held != 0 || counts(report.Due) != "trip completed 2; " {
		t.Fatalf("the report is %+v, %v", report, err)
	}
	for _, id := range []string{"compensated-1", "stuck-1", "running-1"} {
		if in, err := client.Get(ctx, key(id)); err != nil || !strings.HasPrefix(id, string(in.Status)) {
			t.Errorf("%s: %+v, %v", id, in, err)
		}
	}

	rules.Rules[1].Keep = soon
	if report, err = client.Retain(ctx, rules); err != nil || report.Purged != 1 || counts(report.Due) != "trip compensated 1; " {
		t.Errorf("the next report is %+v, %v", report, err)
	}
	if report, err = client.Retain(ctx, rules); err != nil || report.Purged != 0 || report.Sagas != 2 {
		t.Errorf("the last report is %+v, %v", report, err)
	}
}

func TestASagaThatWasResetUnderAPurgeRunsAgain(t *testing.T) {
	f := newFleet(t)
	def := fickle(t)
	f.engine(engine.Config{}, def)
	client := f.client()
	ctx := withPatience(t)
	travel(ctx, t, client, def, "completed-1")
	ns := client.Namespace()
	h, err := ns.Examine(ctx, key("completed-1"))
	if err != nil {
		t.Fatal(err)
	}
	// Whoever purges it has died after the first act.
	mark := nats.NewMsg("saga.default." + shard.Of("trip", h.Key.ID).String() + ".trip." + h.Key.ID + ".cmd")
	mark.Header = nats.Header{
		jetstream.MsgRollup: {jetstream.MsgRollupSubject}, streams.HeaderHistoric: {"purging"}, "Jetsaga-Run": {h.Saga.Run},
	}
	mark.Data = h.Records[0].Data
	if _, err := ns.JetStream().PublishMsg(ctx, mark); err != nil {
		t.Fatal(err)
	}
	var started *engine.AlreadyStartedError
	if _, err := engine.For(client, def).Start(ctx, h.Key.ID, trip{}, engine.OrAgain()); !errors.As(err, &started) || started.PurgedAt.IsZero() {
		t.Errorf("running it again while it is purged: %v, want an AlreadyStartedError that tells of the purge", err)
	}
	if err := client.Reset(ctx, h.Key, 1); err != nil {
		t.Fatal(err)
	}
	until(ctx, t, client, h.Key, func(in *saga.Instance) bool { return in.Version > h.Saga.Version && in.Ended() })
	again, err := engine.For(client, def).Start(ctx, h.Key.ID, trip{Note: "completed"}, engine.OrAgain())
	if err != nil || again.Run == h.Saga.Run {
		t.Fatalf("running it again after it was reset: %+v, %v", again, err)
	}
	if in, err := client.Wait(ctx, h.Key); err != nil || in.Run != again.Run || in.Status != saga.StatusCompleted {
		t.Errorf("the run after that: %+v, %v", in, err)
	}
}

func TestAPurgedSagaIsNotFoundAndItsIDIsTaken(t *testing.T) {
	f := newFleet(t)
	def := fickle(t)
	f.engine(engine.Config{}, def)
	client := f.client()
	ctx := withPatience(t)
	travel(ctx, t, client, def, "compensated-1")
	was, err := client.Get(ctx, key("compensated-1"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Retain(ctx, engine.Retention{Rules: []engine.RetentionRule{{Keep: soon}}}); err != nil {
		t.Fatal(err)
	}

	for what, call := range map[string]func() error{
		"Get":     func() error { _, err := client.Get(ctx, was.Key); return err },
		"Wait":    func() error { _, err := client.Wait(ctx, was.Key); return err },
		"Cancel":  func() error { return client.Cancel(ctx, was.Key) },
		"Signal":  func() error { return client.Signal(ctx, was.Key, "go", json.RawMessage("1")) },
		"Reset":   func() error { return client.Reset(ctx, was.Key, 1) },
		"History": func() error { _, err := client.History(ctx, was.Key); return err },
	} {
		var purged *engine.PurgedError
		err := call()
		if !errors.Is(err, engine.ErrNotFound) || !errors.As(err, &purged) {
			t.Errorf("%s of a purged saga: %v", what, err)
			continue
		}
		if purged.Key != was.Key || purged.Run != was.Run || purged.Status != saga.StatusCompensated || !purged.EndedAt.Equal(was.EndedAt) || purged.PurgedAt.Before(was.EndedAt) {
			t.Errorf("%s of a purged saga: %+v", what, purged)
		}
	}
	trips := engine.For(client, def)
	var known *engine.AlreadyStartedError
	for what, opts := range map[string][]engine.StartOption{"Start": nil, "OrAgain": {engine.OrAgain()}} {
		if _, err := trips.Start(ctx, was.Key.ID, trip{}, opts...); !errors.As(err, &known) || known.Run != was.Run || known.PurgedAt.IsZero() {
			t.Errorf("%s of a purged id: %v", what, err)
		}
	}
	if s, err := trips.Start(ctx, was.Key.ID, trip{}, engine.OrExisting()); err != nil || !s.Existing || s.Run != was.Run {
		t.Errorf("OrExisting of a purged id: %+v, %v", s, err)
	}
}

func TestASagaIsKeptForAsLongAsItsParentMayNeedIt(t *testing.T) {
	f := newFleet(t)
	leg := saga.Must(saga.Define("leg", 1, saga.Step("fly", does("fly")).Compensate(does("-fly"))))
	tour := saga.Must(saga.Define("tour", 1,
		saga.Child("leg", leg, func(s *trip) trip { return *s }),
		saga.Sleep("rest", func(*trip) time.Duration { return time.Hour }),
	))
	f.engine(engine.Config{ParkAfter: time.Millisecond}, leg, tour)
	client := f.client()
	ctx := withPatience(t)
	if _, err := engine.For(client, tour).Start(ctx, "t-1", trip{}); err != nil {
		t.Fatal(err)
	}
	parent := saga.Key{Definition: "tour", ID: "t-1"}
	until(ctx, t, client, parent, func(in *saga.Instance) bool { return len(in.Timers) > 0 })
	rules := engine.Retention{Rules: []engine.RetentionRule{{Keep: soon}}}
	report, err := client.Retain(ctx, rules)
	if err != nil || report.Purged != 0 || report.Held != 1 || !strings.Contains(report.Reasons[0].Reason, "its parent tour/t-1 is running") {
		t.Fatalf("while its parent runs: %+v, %v", report, err)
	}
	if err := client.Cancel(ctx, parent); err != nil {
		t.Fatal(err)
	}
	if in, err := client.Wait(ctx, parent); err != nil {
		t.Fatal(in, err)
	}
	if report, err = client.Retain(ctx, rules); err != nil || report.Purged+report.Held != 2 {
		t.Fatalf("when its parent has ended: %+v, %v", report, err)
	}
	if report, err = client.Retain(ctx, rules); err != nil || report.Sagas != report.Purged {
		t.Errorf("afterwards: %+v, %v", report, err)
	}
}

func TestWhatAConsumerHasNotReadIsKept(t *testing.T) {
	f := newFleet(t)
	def := fickle(t)
	f.engine(engine.Config{}, def)
	client := f.client()
	ctx := withPatience(t)
	ns := client.Namespace()
	var consumers []jetstream.Consumer
	for _, stream := range ns.Streams() {
		consumer, err := ns.JetStream().CreateConsumer(ctx, stream, jetstream.ConsumerConfig{
			Durable: "invoices", FilterSubject: "saga.default.*.*.*.out.booked", AckPolicy: jetstream.AckExplicitPolicy})
		if err != nil {
			t.Fatal(err)
		}
		consumers = append(consumers, consumer)
	}
	travel(ctx, t, client, def, "completed-1", "compensated-1")
	rules := engine.Retention{Rules: []engine.RetentionRule{{Keep: soon}}}
	report, err := client.Retain(ctx, rules)
	if err != nil || report.Held != 1 || counts(report.Due) != "trip compensated 1; " || report.Reasons[0].Reason != "consumer invoices has not read it" {
		t.Fatalf("before it is read: %+v, %v", report, err)
	}
	for _, consumer := range consumers {
		batch, err := consumer.FetchNoWait(10)
		if err != nil {
			t.Fatal(err)
		}
		for m := range batch.Messages() {
			if err := m.DoubleAck(ctx); err != nil {
				t.Fatal(err)
			}
		}
		if err := batch.Error(); err != nil {
			t.Fatal(err)
		}
	}
	if report, err = client.Retain(ctx, rules); err != nil || report.Purged != 1 || report.Held != 0 {
		t.Errorf("when it was read: %+v, %v", report, err)
	}
}

func TestWorkersWithARetentionPurge(t *testing.T) {
	f := newFleet(t)
	def := fickle(t)
	for range 2 {
		f.engine(engine.Config{Retention: engine.Retention{
			Rules: []engine.RetentionRule{{Status: saga.StatusCompleted, Keep: soon}}, Every: 10 * time.Millisecond,
		}}, def)
	}
	client := f.client()
	ctx := withPatience(t)
	travel(ctx, t, client, def, "compensated-1")
	trips := engine.For(client, def)
	for i := range 10 {
		if _, err := trips.Start(ctx, fmt.Sprint("completed-", i), trip{Note: "completed"}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 10 {
		for {
			in, err := client.Get(ctx, key(fmt.Sprint("completed-", i)))
			if errors.Is(err, engine.ErrNotFound) {
				break
			}
			if err != nil {
				t.Fatal(in, err)
			}
			rest(10 * time.Millisecond)
		}
	}
	if _, err := client.Get(ctx, key("compensated-1")); err != nil {
		t.Error(err)
	}
}

func TestSagasArePurgedAtABoundedRate(t *testing.T) {
	f := newFleet(t)
	def := fickle(t)
	f.engine(engine.Config{}, def)
	client := f.client()
	ctx := withPatience(t)
	var ids []string
	for i := range 11 {
		ids = append(ids, fmt.Sprint("completed-", i))
	}
	travel(ctx, t, client, def, ids...)
	report, err := client.Retain(ctx, engine.Retention{Rules: []engine.RetentionRule{{Keep: soon}}, Rate: 50})
	if err != nil || report.Purged != 11 || report.Took < 200*time.Millisecond {
		t.Errorf("eleven at fifty a second: %+v, %v", report, err)
	}
}

func TestARetentionThatCannotBeIsRefusedByField(t *testing.T) {
	f := newFleet(t)
	for want, r := range map[string]engine.Retention{
		"Rules[1].Definition":       {Rules: []engine.RetentionRule{{Keep: 1}, {Definition: "no.dots", Keep: 1}}},
		"Rules[0].Status is stuck":  {Rules: []engine.RetentionRule{{Status: saga.StatusStuck, Keep: 1}}},
		`Rules[0].Status is "gone"`: {Rules: []engine.RetentionRule{{Status: "gone", Keep: 1}}},
		"Rules[0].Keep is -1ns":     {Rules: []engine.RetentionRule{{Keep: -1}}},
		"Remember is 1ms":           {Remember: time.Millisecond},
		"Rate is -1":                {Rate: -1},
		"Every is -1s":              {Every: -time.Second},
	} {
		if _, err := engine.New(engine.Config{Conn: f.nc, Retention: r}); err == nil || !strings.Contains(err.Error(), "engine.Retention."+want) {
			t.Errorf("New: %v, want one with %s", err, want)
		}
		client := f.client()
		if _, err := client.Retain(t.Context(), r); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Retain: %v, want one with %s", err, want)
		}
		if err := client.RunRetention(t.Context(), r); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("RunRetention: %v, want one with %s", err, want)
		}
	}
}

func TestAStartThatWaitsKeepsASaga(t *testing.T) {
	f := newFleet(t)
	def := fickle(t)
	worker := f.engine(engine.Config{}, def)
	client := f.client()
	ctx := withPatience(t)
	travel(ctx, t, client, def, "completed-1")
	worker.Stop()
	if _, err := engine.For(client, def).Start(ctx, "completed-1", trip{Note: "completed"}, engine.OrAgain()); err != nil {
		t.Fatal(err)
	}
	report, err := client.Retain(ctx, engine.Retention{Rules: []engine.RetentionRule{{Keep: soon}}})
	if err != nil || report.Purged != 0 || report.Held != 0 {
		t.Errorf("a saga that is about to run again: %+v, %v", report, err)
	}
}

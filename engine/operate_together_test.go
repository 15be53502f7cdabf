package engine_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/saga"
)

// What two operators ask for at once has passed the client's look at the saga twice, so the saga itself has to tell them apart.
func TestOfTwoOperatorsAtOnceNeitherUndoesWhatTheOtherHasEnded(t *testing.T) {
	order := func(in *saga.Instance, id string) saga.Order {
		return saga.Order{ID: id, Run: in.Run, By: id, Time: time.Now().UTC()}
	}
	resolve := func(in *saga.Instance, id string) saga.Command {
		return saga.Resolve{Order: order(in, id), Step: "pay"}
	}
	retry := func(in *saga.Instance, id string) saga.Command { return saga.Retry{Order: order(in, id)} }
	terminate := func(in *saga.Instance, id string) saga.Command { return saga.Terminate{Order: order(in, id)} }
	type commands func(*saga.Instance, string) saga.Command
	for name, c := range map[string]struct {
		first, second commands
		ends          []saga.Status // two commands may be taken up in either order
	}{
		"resolve and resolve":     {resolve, resolve, []saga.Status{saga.StatusCompensated}},
		"resolve and terminate":   {resolve, terminate, []saga.Status{saga.StatusCompensated, saga.StatusTerminated}},
		"terminate and resolve":   {terminate, resolve, []saga.Status{saga.StatusCompensated, saga.StatusTerminated}},
		"terminate and terminate": {terminate, terminate, []saga.Status{saga.StatusTerminated}},
		"resolve and retry":       {resolve, retry, []saga.Status{saga.StatusCompensated, saga.StatusStuck}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t)
			f.engine(engine.Config{}, saga.Must(saga.Define("errand", 1,
				saga.Step("pay", notes("pay")).Compensate(func(context.Context, *errand) error {
					return saga.Permanent(errors.New("the bank is closed"))
				}),
				saga.Step("ship", func(context.Context, *errand) error { return saga.Permanent(errors.New("no lorry")) }),
			)))
			client := f.client()
			key := saga.Key{Definition: "errand", ID: "e-1"}
			ctx := withPatience(t)
			if _, err := client.Start(ctx, key, 1, saga.State{}); err != nil {
				t.Fatal(err)
			}
			in := until(ctx, t, client, key, func(in *saga.Instance) bool { return in.Status == saga.StatusStuck })
			for _, command := range []saga.Command{c.first(in, "ann"), c.second(in, "bob")} {
				if err := client.Namespace().Send(ctx, key, command); err != nil {
					t.Fatal(err)
				}
			}
			// Each request is in the log: as carried out, or as dismissed.
			until(ctx, t, client, key, func(now *saga.Instance) bool { return now.Ended() && len(now.Seen) == 2 })
			in = until(ctx, t, client, key, (*saga.Instance).Ended)
			if !slices.Contains(c.ends, in.Status) {
				t.Errorf("it ended %s, want one of %s", in.Status, c.ends)
			}
			history, err := client.History(ctx, key)
			if err != nil {
				t.Fatal(err)
			}
			final := ""
			for _, commit := range history {
				for _, e := range commit.Events {
					if _, note := e.(saga.CommandDismissed); final != "" && !note {
						t.Errorf("%s follows %s", saga.EventName(e), final)
					}
					switch e.(type) {
					case saga.SagaCompensated, saga.SagaTerminated:
						final = saga.EventName(e)
					}
				}
			}
		})
	}
}

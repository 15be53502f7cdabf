package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jetsaga/jetsaga/examples/order/shop"
	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/streams"
)

// writeOrders publishes the plan of place-order, and writes an order whose card was declined, order-000007, and one that
// rests before it is shipped, order-000008.
func writeOrders(t testing.TB, ns *streams.Namespace) {
	t.Helper()
	services, err := shop.Open(shop.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := services.Close(); err != nil {
			t.Error(err)
		}
	}()
	def, err := services.Definition()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ns.PublishPlan(t.Context(), def.Plan()); err != nil {
		t.Fatal(err)
	}
	const us = time.Microsecond
	orders := map[string][][]saga.Event{
		"order-000007": {
			{saga.StepCompleted{Step: "reserve-stock", Attempt: 1, Took: 24 * us, Patch: saga.Patch{Set: parse(t, `{"reservation_id":"R000003"}`)}}},
			{
				saga.StepFailed{Step: "charge-card", Attempt: 1, Took: 22 * us, Failure: saga.Failure{Error: "card declined", Permanent: true}},
				saga.CompensationStarted{Reason: saga.ReasonFailed, Step: "charge-card", Error: "card declined"},
			},
			{saga.StepCompensated{Step: "reserve-stock", Attempt: 1, Took: 12 * us}, saga.SagaCompensated{Reason: saga.ReasonFailed, Error: "card declined"}},
		},
		"order-000008": {
			{saga.StepCompleted{Step: "reserve-stock", Attempt: 1}},
			{saga.StepCompleted{Step: "charge-card", Attempt: 1}},
			{
				saga.StepFailed{Step: "ship", Attempt: 1, Failure: saga.Failure{Error: "carrier is down", RetryAt: then(10_000)}},
				saga.TimerSet{Name: "retry-3-abc", At: then(10_000), Step: "ship"}, saga.SagaParked{},
			},
		},
	}
	for id, events := range orders {
		key := saga.Key{Definition: shop.DefinitionName, ID: id}
		start := saga.Start{Run: "run-1", Definition: 1, Time: then(0), State: parse(t, `{"sku":"tent-2p","quantity":2}`)}
		by := saga.Owner{Worker: "alpha-1", Command: start.Run, Delivery: 1}
		events[0] = append([]saga.Event{saga.SagaStarted{Run: start.Run, Definition: 1, State: start.State}}, events[0]...)
		var commits []saga.Commit
		for i := range events {
			commits = append(commits, saga.Commit{Version: uint64(i + 1), Time: then(i + 1), By: by, Events: events[i]})
		}
		write(t, ns, key, start, commits)
	}
}

// paddings are what a table has at the ends of its lines.
var paddings = regexp.MustCompile(`(?m) +$`)

func TestTheManualShowsWhatIsPrinted(t *testing.T) {
	manual, err := os.ReadFile("../../docs/sagactl.md")
	if err != nil {
		t.Fatal(err)
	}
	w := newTown(t)
	writeOrders(t, w.client.Namespace())
	shown := 0
	// Every other part stands between fences.
	for i, block := range strings.Split(string(manual), "```") {
		command, want, _ := strings.Cut(block, "\n")
		if i%2 == 0 {
			continue
		}
		if command == "mermaid" {
			command = "$ sagactl graph place-order --format mermaid"
		} else if command, want, _ = strings.Cut(want, "\n"); !strings.HasPrefix(command, "$ sagactl ") {
			continue
		}
		shown++
		code, out, errs := w.ctl(t, strings.Fields(command)[2:]...)
		if code != exitOK || paddings.ReplaceAllString(out, "") != want {
			t.Errorf("%s: exit %d\n%s%s\nthe manual has\n%s", command, code, out, errs, want)
		}
	}
	if shown != 4 {
		t.Errorf("the manual shows %d commands, want 4", shown)
	}
}

func TestTheManualHasTheExitCodes(t *testing.T) {
	manual, err := os.ReadFile("../../docs/sagactl.md")
	if err != nil {
		t.Fatal(err)
	}
	table := "\n| code | meaning |\n|---|---|\n"
	for _, m := range exitMeanings {
		table += fmt.Sprintf("| %d | %s |\n", m.Code, m.Meaning)
	}
	if !strings.Contains(string(manual), table+"\n") {
		t.Errorf("the manual lacks the table%s", table)
	}
}

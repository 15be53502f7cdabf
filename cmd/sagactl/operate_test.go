package main

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jetsaga/jetsaga/saga"
)

// book is the state of a saga that needs people: an editor, a paper mill, a binder who may be ill, and somebody to clear the
// press.
type book struct {
	Token  string `json:"token,omitempty"`
	Sheets int    `json:"sheets,omitempty"`
	Bound  bool   `json:"bound,omitempty"`
}

type paper struct {
	Sheets int `json:"sheets"`
}

// publisher has a saga of every kind of trouble, and its operator.
type publisher struct {
	town
	binder atomic.Bool // is there
	output string      // what the commands are asked to print
}

func newPublisher(t *testing.T, output string) *publisher {
	t.Helper()
	p := &publisher{output: output}
	delivered := saga.DeclareSignal[paper]("paper")
	p.town = townOf(t, saga.Must(saga.Define("publish-book", 1,
		saga.Step("typeset", func(ctx context.Context, b *book) error {
			b.Token = saga.ApprovalToken(ctx, "editor")
			return nil
		}).Compensate(func(context.Context, *book) error { return saga.Permanent(errors.New("the press is jammed")) }),
		saga.Approval[book]("editor", nil),
		saga.Step("announce", func(context.Context, *book) error { return nil }).Pivot(),
		saga.Await("delivery", delivered, func(_ context.Context, b *book, d paper) error {
			b.Sheets = d.Sheets
			return nil
		}),
		saga.Step("bind", func(_ context.Context, b *book) error {
			if !p.binder.Load() {
				return saga.Permanent(errors.New("the binder is ill"))
			}
			b.Bound = true
			return nil
		}),
	)))
	return p
}

// do runs a command that has to succeed, and gives what it printed.
func (p *publisher) do(t *testing.T, args ...string) string {
	t.Helper()
	code, out, errs := p.ctl(t, append(args, "-o", p.output)...)
	if code != exitOK || errs != "" {
		t.Fatalf("sagactl %q: exit %d\n%s%s", args, code, out, errs)
	}
	return out
}

// prints runs a command and checks what it prints: the text, or of the JSON what it tells.
func (p *publisher) prints(t *testing.T, text string, told map[string]any, args ...string) {
	t.Helper()
	out := p.do(t, args...)
	if p.output == "text" {
		if out != text {
			t.Errorf("sagactl %q prints %q, want %q", args, out, text)
		}
		return
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(out), &got); err != nil || !maps.Equal(got, told) {
		t.Errorf("sagactl %q prints %v, %v, want %v", args, got, err, told)
	}
}

// order gives an operator's order.
func (p *publisher) order(t *testing.T, id, request, text string, more ...string) {
	t.Helper()
	told := map[string]any{
		"definition": "publish-book", "id": id, "request": request, "reason": "to " + request, "by": "ann", "requested": true,
	}
	args := append([]string{request, "publish-book", id}, more...)
	p.prints(t, "publish-book/"+id+": "+text+"\n", told, append(args, "--by", "ann", "--reason", "to "+request)...)
}

// await returns a saga when it is as it has to be.
func (p *publisher) await(t *testing.T, id string, as func(in *saga.Instance) bool) *saga.Instance {
	t.Helper()
	var in *saga.Instance
	waitFor(t, func() bool {
		var err error
		if in, err = p.client.Get(t.Context(), saga.Key{Definition: "publish-book", ID: id}); err != nil {
			t.Fatal(err)
		}
		return as(in)
	})
	return in
}

func (p *publisher) awaitStatus(t *testing.T, id string, status saga.Status) {
	t.Helper()
	p.await(t, id, func(in *saga.Instance) bool { return in.Status == status })
}

// start starts a book, and gives the token by which it is approved.
func (p *publisher) start(t *testing.T, id string) (token string) {
	t.Helper()
	p.do(t, "start", "publish-book", "--id", id)
	in := p.await(t, id, func(in *saga.Instance) bool { return in.Parked })
	var b book
	if err := json.Unmarshal(in.State.JSON(), &b); err != nil {
		t.Fatal(err)
	}
	return b.Token
}

// decide approves or rejects.
func (p *publisher) decide(t *testing.T, id, token string, flags ...string) {
	t.Helper()
	rejects := slices.Contains(flags, "--reject")
	p.prints(t, "publish-book/"+id+": editor "+map[bool]string{false: "approved", true: "rejected"}[rejects]+"\n", map[string]any{
		"definition": "publish-book", "id": id, "step": "editor", "approved": !rejects, "reason": "read it", "by": "ann", "requested": true,
	}, append([]string{"approve", token, "--by", "ann", "--reason", "read it"}, flags...)...)
}

// deliver brings a saga to where it needs the binder.
func (p *publisher) deliver(t *testing.T, id string) {
	t.Helper()
	p.prints(t, "publish-book/"+id+": signal paper sent\n", map[string]any{
		"definition": "publish-book", "id": id, "signal": "paper", "message_id": "m-1", "requested": true,
	}, "signal", "publish-book", id, "paper", "--payload", `{"sheets": 200}`, "--by", "the mill", "--message-id", "m-1")
}

// tells checks that the history has an event, with what is told of it.
func (p *publisher) tells(t *testing.T, id string, wants ...[2]string) {
	t.Helper()
	_, out, _ := p.ctl(t, "history", "publish-book", id)
	for _, want := range wants {
		told := func(line string) bool {
			return strings.Contains(line, " "+want[0]+" ") && strings.HasSuffix(line, want[1])
		}
		if !slices.ContainsFunc(strings.Split(out, "\n"), told) {
			t.Errorf("the history lacks %s, %q:\n%s", want[0], want[1], out)
		}
	}
}

// The life of a book that needs every order there is. Each is given as text and as JSON, and the saga shows that it came.
func TestABookIsPublishedByEveryOrderThereIs(t *testing.T) {
	for _, output := range []string{"text", "json"} {
		t.Run(output, func(t *testing.T) {
			p := newPublisher(t, output)
			token := p.start(t, "b-1")
			shows := map[string][2]string{"text": {"└─ bind\n\nflowchart TD\n", "1. undo typeset\n"}, "json": {`"name": "bind"`, `"step": "typeset"`}}[output]
			if out := p.do(t, "graph", "publish-book"); !strings.Contains(out, shows[0]) {
				t.Errorf("graph prints\n%s", out)
			}
			if out := p.do(t, "plan", "publish-book", "b-1"); !strings.Contains(out, shows[1]) {
				t.Errorf("plan prints\n%s", out)
			}
			p.order(t, "b-1", "pause", "pause requested")
			p.await(t, "b-1", func(in *saga.Instance) bool { return in.Paused })
			if _, out, _ := p.ctl(t, "get", "publish-book", "b-1"); !strings.Contains(out, "sagactl resume publish-book b-1\n") {
				t.Errorf("get does not tell how to go on:\n%s", out)
			}
			p.order(t, "b-1", "resume", "resumption requested")
			p.await(t, "b-1", func(in *saga.Instance) bool { return !in.Paused })
			p.decide(t, "b-1", token)
			p.deliver(t, "b-1")
			p.awaitStatus(t, "b-1", saga.StatusStuck)
			if _, out, _ := p.ctl(t, "get", "publish-book", "b-1"); !strings.Contains(out, "sagactl skip publish-book b-1 bind\n") {
				t.Errorf("get does not tell what to do:\n%s", out)
			}
			p.binder.Store(true)
			p.order(t, "b-1", "retry", "retry requested", "--step", "bind")
			p.awaitStatus(t, "b-1", saga.StatusCompleted)

			p.order(t, "b-1", "reset", "reset requested", "1") // it must not be published after all: the editor is asked again
			p.await(t, "b-1", func(in *saga.Instance) bool { return in.Status == saga.StatusRunning && in.Parked })
			p.decide(t, "b-1", token, "--reject")
			p.awaitStatus(t, "b-1", saga.StatusStuck)
			p.order(t, "b-1", "resolve", "resolution requested", "typeset")
			p.awaitStatus(t, "b-1", saga.StatusCompensated)
			p.tells(t, "b-1", [2]string{"SagaPaused", "by ann: to pause"}, [2]string{"SagaResumed", "by ann: to resume"},
				[2]string{"SignalReceived", `paper from the mill: {"sheets":200}`}, [2]string{"StepRetried", "by ann: to retry"},
				[2]string{"SagaReset", "to version 1, by ann: to reset"}, [2]string{"StepResolved", "by ann: to resolve"})

			p.binder.Store(false)
			p.decide(t, "b-2", p.start(t, "b-2"))
			p.deliver(t, "b-2")
			p.awaitStatus(t, "b-2", saga.StatusStuck)
			p.order(t, "b-2", "skip", "skipping requested", "bind")
			p.awaitStatus(t, "b-2", saga.StatusCompleted)
			p.tells(t, "b-2", [2]string{"StepSkipped", "by ann: to skip"})

			p.start(t, "b-3")
			p.order(t, "b-3", "terminate", "termination requested")
			p.awaitStatus(t, "b-3", saga.StatusTerminated)
			p.tells(t, "b-3", [2]string{"SagaTerminated", "by ann: to terminate"})
		})
	}
}

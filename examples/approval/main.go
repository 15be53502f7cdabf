// Approval has expenses decided by a manager, who is reminded until there is a decision.
//
//	go run ./examples/approval
//
// NATS runs inside the process unless NATS_URL says where it is.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/examples/internal/nearby"
	"github.com/jetsaga/jetsaga/saga"
)

func main() {
	dir := filepath.Join(os.TempDir(), "jetsaga-approval-example")
	if err := run(context.Background(), os.Getenv("NATS_URL"), dir, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// post delivers mails; those with a token go to the manager.
type post struct {
	out    io.Writer
	tokens chan string
}

func (p *post) Mail(to, text, token string) {
	_, _ = fmt.Fprintf(p.out, "mail to %s: %s\n", to, text)
	if token != "" {
		p.tokens <- token
	}
}

func run(ctx context.Context, url, dir string, out io.Writer) (err error) {
	nc, disconnect, err := nearby.Connect(ctx, url, dir)
	if err != nil {
		return err
	}
	defer disconnect()
	mail := &post{out: out, tokens: make(chan string, 16)}
	definition, err := approve(mail, 300*time.Millisecond) // days, for a manager who is not in a hurry
	if err != nil {
		return err
	}
	worker, err := engine.New(engine.Config{Conn: nc, Namespace: "approval-example", ParkAfter: 50 * time.Millisecond})
	if err != nil {
		return err
	}
	if err := worker.Register(definition); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- worker.Run(context.WithoutCancel(ctx)) }()
	defer func() { err = errors.Join(err, worker.Drain(context.WithoutCancel(ctx)), <-ended) }()
	client, err := worker.Client(ctx)
	if err != nil {
		return err
	}
	expenses := engine.For(client, definition)
	for _, e := range []struct {
		expense  Expense
		decision saga.Decision
		mails    int // the manager reacts to this one
	}{
		{Expense{Who: "Ada", Cents: 4_200}, saga.Decision{Approved: true, By: "Grace", Reason: "as agreed"}, 1},
		{Expense{Who: "Blaise", Cents: 999_900}, saga.Decision{By: "Grace", Reason: "a yacht"}, 2},
	} {
		id := engine.NewID()
		if _, err := expenses.Start(ctx, id, e.expense); err != nil {
			return err
		}
		token := ""
		for range e.mails {
			token = <-mail.tokens
		}
		if err := client.Approve(ctx, token, e.decision); err != nil {
			return err
		}
		s, err := expenses.Wait(ctx, id)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(out, "%s: %s, approved %v by %s (%s) after %d reminders\n",
			e.expense.Who, s.Status, s.State.Approved, s.State.By, s.State.Why, s.State.Reminders); err != nil {
			return err
		}
	}
	return nil
}

package main

import (
	"context"
	"time"

	"github.com/jetsaga/jetsaga/saga"
)

// Expense is the state of the saga that has one approved and paid.
type Expense struct {
	Who       string `json:"who"`
	Cents     int    `json:"cents"`
	Reminders int    `json:"reminders,omitempty"`
	Decided   bool   `json:"decided,omitempty"`
	Approved  bool   `json:"approved,omitempty"`
	By        string `json:"by,omitempty"`
	Why       string `json:"why,omitempty"`
	Payment   string `json:"payment,omitempty"`
}

// mailer is how people are told and asked: the token is what a link in the mail would bear.
type mailer interface {
	Mail(to, text, token string)
}

// approve is the definition. The manager is reminded until there is a decision, five times at the most; then the expense is
// refused. Each turn of the loop has a token of its own.
func approve(mail mailer, patience time.Duration) (*saga.Definition[Expense], error) {
	return saga.Define("approve-expense", 1,
		saga.Loop("until-decided", func(e *Expense) bool { return !e.Decided && e.Reminders < 5 },
			saga.Step("ask", func(ctx context.Context, e *Expense) error {
				mail.Mail("the manager", "please decide on an expense of "+e.Who, saga.ApprovalToken(ctx, "decision"))
				return nil
			}),
			saga.Approval("decision", func(e *Expense, d saga.Decision) error {
				e.Decided, e.Approved, e.By, e.Why = true, d.Approved, d.By, d.Reason
				return nil // what follows from a rejection is for the saga to say
			}).
				Timeout(patience, saga.Step("count-reminder", func(_ context.Context, e *Expense) error { e.Reminders++; return nil })),
		),
		saga.If("is-approved", func(e *Expense) bool { return e.Approved },
			saga.Step("pay", func(ctx context.Context, e *Expense) error {
				e.Payment = "payment " + saga.FromContext(ctx).IdempotencyKey()[:8]
				return nil
			}),
		).Else(
			saga.Step("tell", func(_ context.Context, e *Expense) error {
				mail.Mail(e.Who, "your expense was not approved", "")
				return nil
			}),
		),
	)
}

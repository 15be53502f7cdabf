package main

import (
	"slices"
	"testing"
	"time"

	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/testutil/sagatest"
)

// mailbox keeps what is mailed, each mail once: a worker that dies sends its last one again.
type mailbox struct{ mails, tokens []string }

func (b *mailbox) Mail(to, text, token string) {
	if token == "" || !slices.Contains(b.tokens, token) {
		b.mails, b.tokens = append(b.mails, to+": "+text), append(b.tokens, token)
	}
}

// nobody has an expense of Ada's wait for a decision that does not come, until four of the five waits are over.
func nobody(t testing.TB, play func(k *sagatest.Kit, s *sagatest.Saga[Expense], box *mailbox)) {
	t.Helper()
	box := &mailbox{}
	const patience = 24 * time.Hour
	def, err := approve(box, patience)
	if err != nil {
		t.Fatal(err)
	}
	sagatest.EveryCrash(t, []saga.Runnable{def}, func(k *sagatest.Kit) {
		*box = mailbox{}
		s := sagatest.Start(k, def, "e-1", Expense{Who: "Ada", Cents: 4_200})
		k.Advance(4*patience + patience/2)
		play(k, s, box)
	})
}

func TestAnExpenseThatNobodyDecidesIsRefusedAfterFiveReminders(t *testing.T) {
	nobody(t, func(k *sagatest.Kit, s *sagatest.Saga[Expense], box *mailbox) {
		k.Run()
		s.MustBe(saga.StatusCompleted)
		s.MustHave("do ask#1", "do count-reminder#1", "do ask#2", "do count-reminder#2", "do ask#3", "do count-reminder#3",
			"do ask#4", "do count-reminder#4", "do ask#5", "do count-reminder#5", "do tell")
		if e := s.State(); e.Reminders != 5 || e.Decided || e.Payment != "" {
			t.Errorf("it ends as %+v", e)
		}
		if n := len(box.mails); n < 6 || box.mails[5] != "Ada: your expense was not approved" {
			t.Errorf("mailed were %q", box.mails)
		}
	})
}

func TestOnlyTheLinkOfTheLastMailDecides(t *testing.T) {
	nobody(t, func(k *sagatest.Kit, s *sagatest.Saga[Expense], box *mailbox) {
		s.Approve(box.tokens[0], saga.Decision{Approved: false, By: "Grace"})
		s.Approve(box.tokens[4], saga.Decision{Approved: true, By: "Grace"})
		k.Run()
		s.MustBe(saga.StatusCompleted)
		if e := s.State(); !e.Approved || e.By != "Grace" || e.Reminders != 4 || e.Payment == "" {
			t.Errorf("it ends as %+v", e)
		}
	})
}

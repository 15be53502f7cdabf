package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/jetsaga/jetsaga/saga"
)

// ledger stands for the services of others. It answers a repeated call as it answered the first.
type ledger struct {
	mu       sync.Mutex
	bookings map[string]*booking // by idempotency key
	numbers  map[string]*booking
}

type booking struct {
	number    string
	kind      string
	cancelled bool
}

func newLedger() *ledger {
	return &ledger{bookings: map[string]*booking{}, numbers: map[string]*booking{}}
}

// book makes a booking and gives its number.
func (l *ledger) book(ctx context.Context, kind string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := saga.FromContext(ctx).IdempotencyKey()
	b := l.bookings[key]
	if b == nil {
		b = &booking{number: fmt.Sprintf("%s-%d", kind, len(l.bookings)+1), kind: kind}
		l.bookings[key], l.numbers[b.number] = b, b
	}
	return b.number
}

// cancel takes a booking back. One that was never made is none the worse for it.
func (l *ledger) cancel(_ context.Context, number string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b := l.numbers[number]; b != nil {
		b.cancelled = true
	}
	return nil
}

// standing counts what was booked and not cancelled, by kind.
func (l *ledger) standing() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	count := map[string]int{}
	for _, b := range l.bookings {
		if !b.cancelled {
			count[b.kind]++
		}
	}
	return count
}

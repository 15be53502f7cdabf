package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jetsaga/jetsaga/saga"
)

// Trip is the state of the saga that books one.
type Trip struct {
	Traveller string `json:"traveller"`
	To        string `json:"to"`
	Nights    int    `json:"nights"`
	WantsCar  bool   `json:"wants_car,omitempty"`
	Card      string `json:"card"`

	Flight  string `json:"flight,omitempty"`
	Hotel   string `json:"hotel,omitempty"`
	Car     string `json:"car,omitempty"`
	Payment string `json:"payment,omitempty"`
	Tickets string `json:"tickets,omitempty"`
}

// Stay is the state of the saga that books a hotel. Hotels are another team's: a trip starts it as a child.
type Stay struct {
	Guest   string `json:"guest"`
	City    string `json:"city"`
	Nights  int    `json:"nights"`
	Booking string `json:"booking,omitempty"`
}

// agency is what the handlers call: services that remember what each idempotency key asked of them.
type agency struct {
	*ledger
}

// bookStay is the definition of the hotels' saga.
func (a agency) bookStay() (*saga.Definition[Stay], error) {
	return saga.Define("book-stay", 1,
		saga.Step("hold-room", a.holdRoom).Compensate(a.releaseRoom),
		saga.Step("confirm-room", a.confirmRoom),
	)
}

// bookTrip is the definition of the trip's saga. Flight, hotel and car are booked at once and within fifteen minutes. Until
// the card is charged everything can be undone; from there on the saga only goes forward.
func (a agency) bookTrip(stay *saga.Definition[Stay]) (*saga.Definition[Trip], error) {
	return saga.Define("book-trip", 1,
		saga.Within("fares-are-held", 15*time.Minute,
			saga.Parallel("bookings",
				saga.Branch("flight", saga.Step("book-flight", a.bookFlight).Compensate(a.cancelFlight)),
				saga.Branch("hotel",
					saga.Child("stay", stay, func(t *Trip) Stay { return Stay{Guest: t.Traveller, City: t.To, Nights: t.Nights} }).
						Result(func(t *Trip, s Stay) { t.Hotel = s.Booking })),
				saga.Branch("car",
					saga.Step("book-car", a.bookCar).Compensate(a.cancelCar).
						OnlyIf(func(t *Trip) bool { return t.WantsCar }).
						Optional()),
			),
		),
		saga.Step("charge-card", a.charge).Pivot(),
		saga.Step("issue-tickets", a.issueTickets),
		saga.Attribute("traveller", func(t *Trip) string { return t.Traveller }),
	)
}

func (a agency) bookFlight(ctx context.Context, t *Trip) error {
	if t.To == "Atlantis" {
		return saga.Permanent(errors.New("no airline flies to Atlantis"))
	}
	t.Flight = a.book(ctx, "flight")
	return nil
}

func (a agency) cancelFlight(ctx context.Context, t *Trip) error { return a.cancel(ctx, t.Flight) }

func (a agency) holdRoom(ctx context.Context, s *Stay) error {
	if s.Nights > 14 {
		return saga.Permanent(fmt.Errorf("no room in %s for %d nights", s.City, s.Nights))
	}
	s.Booking = a.book(ctx, "room")
	return nil
}

func (a agency) releaseRoom(ctx context.Context, s *Stay) error { return a.cancel(ctx, s.Booking) }

func (a agency) confirmRoom(context.Context, *Stay) error { return nil }

func (a agency) bookCar(ctx context.Context, t *Trip) error {
	if t.To == "Venice" {
		return saga.Permanent(errors.New("no cars in Venice"))
	}
	t.Car = a.book(ctx, "car")
	return nil
}

func (a agency) cancelCar(ctx context.Context, t *Trip) error { return a.cancel(ctx, t.Car) }

func (a agency) charge(ctx context.Context, t *Trip) error {
	if t.Card == "declined" {
		return saga.Permanent(errors.New("the card was declined"))
	}
	t.Payment = a.book(ctx, "payment")
	return nil
}

func (a agency) issueTickets(ctx context.Context, t *Trip) error {
	t.Tickets = a.book(ctx, "tickets")
	return nil
}

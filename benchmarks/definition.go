package main

import (
	"context"
	"errors"

	"github.com/jetsaga/jetsaga/saga"
)

// order is the state of the sagas that are measured: what a small order carries.
type order struct {
	SKU         string `json:"sku"`
	Quantity    int    `json:"quantity"`
	Cents       int    `json:"cents"`
	Reservation string `json:"reservation,omitempty"`
	Charge      string `json:"charge,omitempty"`
	Shipment    string `json:"shipment,omitempty"`
	Insurance   string `json:"insurance,omitempty"`
	Invoice     string `json:"invoice,omitempty"`
}

// theOrder is what every saga begins with.
var theOrder = order{SKU: "espresso-machine", Quantity: 2, Cents: 129_900}

// definitionName is the name of every definition measured; each is used in namespaces of its own.
const definitionName = "place-order"

var errOutOfReach = saga.Permanent(errors.New("the address is out of reach"))

// succeeding has three steps that do nothing but change the state.
var succeeding = saga.Must(saga.Define(definitionName, 1,
	saga.Step("reserve-stock", reserve).Compensate(release),
	saga.Step("charge-card", charge).Compensate(refund),
	saga.Step("ship", ship),
))

// failing is the same with a last step that fails for good, so that the two before it are undone.
var failing = saga.Must(saga.Define(definitionName, 1,
	saga.Step("reserve-stock", reserve).Compensate(release),
	saga.Step("charge-card", charge).Compensate(refund),
	saga.Step("ship", func(context.Context, *order) error { return errOutOfReach }),
))

// parallel does five things at once.
var parallel = saga.Must(saga.Define(definitionName, 1,
	saga.Parallel("all",
		saga.Branch("stock", saga.Step("reserve-stock", reserve).Compensate(release)),
		saga.Branch("card", saga.Step("charge-card", charge).Compensate(refund)),
		saga.Branch("parcel", saga.Step("ship", ship)),
		saga.Branch("insurance", saga.Step("insure", func(_ context.Context, o *order) error { o.Insurance = "i-5"; return nil })),
		saga.Branch("invoice", saga.Step("invoice", func(_ context.Context, o *order) error { o.Invoice = "n-7"; return nil })),
	),
))

// line is one of the items of perItem.
type line struct {
	Number int  `json:"number"`
	Picked bool `json:"picked,omitempty"`
}

// itemsOfASaga is how many items one saga of perItem works on.
const itemsOfASaga = 1_000

// perItem does one thing for each of many items.
var perItem = saga.Must(saga.Define(definitionName, 1,
	saga.ForEach("lines", func(*order) []line {
		lines := make([]line, itemsOfASaga)
		for i := range lines {
			lines[i].Number = i
		}
		return lines
	}, saga.Step("pick", func(_ context.Context, l *line) error { l.Picked = true; return nil })),
))

func reserve(_ context.Context, o *order) error { o.Reservation = "r-1842-espresso"; return nil }
func release(_ context.Context, o *order) error { o.Reservation = ""; return nil }
func charge(_ context.Context, o *order) error  { o.Charge = "ch-77120-eur"; return nil }
func refund(_ context.Context, o *order) error  { o.Charge = ""; return nil }
func ship(_ context.Context, o *order) error    { o.Shipment = "parcel-00031"; return nil }

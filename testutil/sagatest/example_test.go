package sagatest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/testutil/sagatest"
)

// printer stands in for the *testing.T of a test, and prints what would fail it.
type printer struct{ testing.TB }

func (printer) Helper() {}

func (printer) Error(args ...any) { fmt.Println(args...) }

func (printer) Errorf(format string, args ...any) { fmt.Printf(format+"\n", args...) }

func (printer) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

func (printer) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// Order is the state of the sagas in these examples.
type Order struct {
	SKU   string
	Stock string
	Paid  bool
}

func reserve(_ context.Context, o *Order) error { o.Stock = "reserved"; return nil }
func release(_ context.Context, o *Order) error { o.Stock = ""; return nil }

// charge calls a bank, which a test has not.
func charge(context.Context, *Order) error { return saga.Permanent(errors.New("no such host")) }

var placeOrder = saga.Must(saga.Define("place-order", 1,
	saga.Step("reserve-stock", reserve).Compensate(release),
	saga.Step("charge-card", charge),
))

// A card that is declined at the second attempt releases the stock.
func ExampleKit_Fail() {
	k := sagatest.New(printer{}, placeOrder)
	k.Fail("charge-card", errors.New("busy"), saga.Permanent(errors.New("declined")))
	order := sagatest.Start(k, placeOrder, "o-1", Order{SKU: "tea"})
	k.Run()
	order.MustBe(saga.StatusCompensated)
	order.MustHave("do reserve-stock", "undo reserve-stock")
	fmt.Println(order.Instance().Error)
	// Output: declined
}

// The bank is not called: the test says what comes of a card that is charged.
func ExampleReplace() {
	k := sagatest.New(printer{}, placeOrder)
	sagatest.Replace(k, "charge-card", func(_ context.Context, o *Order) error { o.Paid = true; return nil })
	order := sagatest.Start(k, placeOrder, "o-1", Order{SKU: "tea"})
	k.Run()
	fmt.Println(order.Instance().Status, order.State())
	fmt.Println(order.Effects())
	// Output:
	// completed {tea reserved true}
	// [do reserve-stock do charge-card]
}

// A stub sees each attempt, and decides by it.
func ExampleKit_Stub() {
	k := sagatest.New(printer{}, placeOrder)
	k.Stub("charge-card", func(info saga.Info) error {
		fmt.Println("attempt", info.Attempt, "after", k.Now().Format(time.TimeOnly))
		if info.Attempt == 1 {
			return saga.RetryAfter(errors.New("closed for lunch"), time.Hour)
		}
		return saga.Permanent(errors.New("declined"))
	})
	sagatest.Start(k, placeOrder, "o-1", Order{SKU: "tea"})
	k.Run()
	// Output:
	// attempt 1 after 00:00:00
	// attempt 2 after 01:00:00
}

// Wherever a worker dies, the order ends as it does without a crash.
func ExampleEveryCrash() {
	plays := 0
	sagatest.EveryCrash(printer{}, []saga.Runnable{placeOrder}, func(k *sagatest.Kit) {
		plays++
		order := sagatest.Start(k, placeOrder, "o-1", Order{SKU: "tea"})
		k.Run()
		order.MustBe(saga.StatusCompensated)
	})
	fmt.Println(plays, "plays")
	// Output: 7 plays
}

// An order that has ended is placed once more: another run, with idempotency keys of its own.
func ExampleAfter() {
	k := sagatest.New(printer{}, placeOrder)
	first := sagatest.Start(k, placeOrder, "o-1", Order{SKU: "tea"})
	k.Run()
	sagatest.Replace(k, "charge-card", func(_ context.Context, o *Order) error { o.Paid = true; return nil })
	again := sagatest.Start(k, placeOrder, "o-1", Order{SKU: "tea"}, sagatest.After(first))
	k.Run()
	fmt.Println(again.Instance().Status)
	fmt.Println(again.Effects())
	// Output:
	// completed
	// [do reserve-stock undo reserve-stock do reserve-stock do charge-card]
}

// A signal that comes in time, and time that passes.
func ExampleSignal() {
	picked := saga.DeclareSignal[string]("picked-up")
	def := saga.Must(saga.Define("keep-parcel", 1,
		saga.Await("pick-up", picked, func(_ context.Context, o *Order, by string) error {
			o.Stock = "picked up by " + by
			return nil
		}).Timeout(14*24*time.Hour),
	))
	k := sagatest.New(printer{}, def)
	parcel := sagatest.Start(k, def, "p-1", Order{SKU: "tea"})
	k.Advance(13 * 24 * time.Hour)
	sagatest.Signal(parcel, picked, "Ada")
	k.Run()
	fmt.Println(parcel.Instance().Status, parcel.State().Stock)
	// Output: completed picked up by Ada
}

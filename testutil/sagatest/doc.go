// Package sagatest runs sagas of your own in memory, with virtual time, in milliseconds: for tests of definitions.
//
//	k := sagatest.New(t, placeOrder)
//	order := sagatest.Start(k, placeOrder, "o-1", Order{SKU: "tea"})
//	k.Fail("charge-card", saga.Permanent(errors.New("declined")))
//	k.Run()
//	order.MustBe(saga.StatusCompensated)
//	order.MustHave("do reserve-stock", "undo reserve-stock")
//
// Everything but the network is what it is in production: the same state machine decides, the log is encoded and decoded, and
// commands are delivered at least once. [EveryCrash] plays a scenario again with the worker gone before and after each single
// commit, and compares how it ends.
package sagatest

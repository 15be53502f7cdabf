// Package shop is a small shop to run sagas against: an inventory, a payment
// provider and a carrier, each a service over a durable ledger of its own, and a
// reconciliation that holds the three ledgers against the outcomes of the orders,
// to the unit and to the cent.
//
//	orders := shop.Orders(1000, 1)
//	s, err := shop.Open(shop.Config{Dir: dir, Stock: shop.InitialStock(orders)})
//	if err != nil { ... }
//	defer s.Close()
//	definition, err := s.Definition() // reserve-stock, charge-card, ship
//	...                               // run one saga per order
//	report, err := s.Reconcile(outcomes)
//	fmt.Print(report)
//
// # What it guarantees
//
// Every call takes an idempotency key, and every answer is recorded under that
// key before it is given: a reservation and its refusal, a charge and its
// decline. A call repeated with its key, by a retry, by another process or after
// a restart, has no second effect and gets the recorded answer. The same key with
// other arguments is refused with [ErrKeyReused].
//
// The ledger is the truth: stock on hand and the balance of the account are folds
// of the ledgers, and nothing else is stored. A process killed at any moment
// loses nothing that was answered. A power cut can lose what the operating system
// had not yet written, typically the last half minute; call [Shop.Sync] where that
// matters.
//
// Failures depend on the order alone, so a run that is resumed fails as it would
// have: the last four digits of the card decide whether it is declined, the address
// whether it can be delivered to, and the order's id how often the carrier is
// down for it. Only being out of stock depends on who came first, and the ledger
// remembers that.
//
// # What it expects
//
// The directory is on a local file system. On Unix several processes may open the
// same directory at once; elsewhere one at a time.
package shop

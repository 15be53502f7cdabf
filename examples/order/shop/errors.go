package shop

import "errors"

// What the services refuse. Each is wrapped with the order and the arguments it
// refused; tell them apart with errors.Is.
var (
	// ErrOutOfStock: fewer units are on hand than were asked for. Permanent for
	// the key that asked: the refusal is recorded.
	ErrOutOfStock = errors.New("out of stock")

	// ErrDeclined: the card's bank said no. Permanent; nothing was charged.
	ErrDeclined = errors.New("card declined")

	// ErrUndeliverable: the carrier does not go to this address. Permanent.
	ErrUndeliverable = errors.New("address cannot be delivered to")

	// ErrCarrierDown: the carrier did not take the call. Transient: try again.
	ErrCarrierDown = errors.New("carrier is down")

	// ErrKeyReused: the idempotency key was used before with other arguments.
	// Permanent: the caller derives its keys wrongly.
	ErrKeyReused = errors.New("idempotency key was used before with other arguments")

	// ErrNotFound: there is no such reservation, charge or shipment.
	ErrNotFound = errors.New("not found")

	// ErrUndone: the reservation, charge or shipment was undone before, under
	// another key. Permanent: somebody undoes twice.
	ErrUndone = errors.New("undone before under another key")

	// ErrInvalid: an argument makes no sense, such as a quantity below 1.
	ErrInvalid = errors.New("invalid argument")
)

// What opening and writing can fail with, besides the file system's own errors.
var (
	// ErrClosed: the ledger was closed.
	ErrClosed = errors.New("ledger is closed")

	// ErrStockMismatch: the directory holds a run that started with other stock,
	// which means with other orders.
	ErrStockMismatch = errors.New("ledger was started with other stock")
)

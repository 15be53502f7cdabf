package shop

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// What Orders puts into how many of a hundred orders. The shares are drawn apart
// from each other, and an order fails at its first obstacle, so a few fail
// earlier than their share says.
const (
	declinedPercent      = 8
	undeliverablePercent = 2
	limitedPercent       = 6
)

// limitedSuffix marks a limited edition: a sku of which [InitialStock] has half of what
// is ordered.
const limitedSuffix = "-limited"

type product struct {
	sku   string
	cents int64
}

var (
	catalogue = []product{
		{"tent-2p", 18_900}, {"tent-4p", 32_950}, {"backpack-45", 12_490}, {"backpack-65", 15_990},
		{"sleeping-bag", 8_999}, {"mat-foam", 2_450}, {"mat-air", 7_995}, {"stove-gas", 4_390},
		{"pot-set", 3_675}, {"headlamp", 2_999}, {"water-filter", 5_445}, {"rain-jacket", 11_900},
		{"boots-low", 13_500}, {"boots-high", 17_250}, {"trekking-poles", 6_480}, {"first-aid-kit", 1_895},
	}
	limitedEditions = []product{{"lantern" + limitedSuffix, 5_900}, {"knife" + limitedSuffix, 8_450}}

	givenNames  = []string{"Ada", "Bram", "Chiara", "Dilek", "Emil", "Fatou", "Goran", "Hana", "Ines", "Jonas", "Kemi", "Luca"}
	familyNames = []string{"Almeida", "Bergström", "Costa", "Dubois", "Eriksen", "Fischer", "García", "Horváth", "Ivanova", "Jansen", "Kowalski", "Öztürk"}
	streets     = []string{"Harbour Street", "Mill Lane", "Station Road", "Chestnut Avenue", "Rue du Port", "Lindenweg", "Via Garibaldi", "Calle Mayor"}
	cities      = []string{"Bergen", "Ghent", "Graz", "Kraków", "Lyon", "Porto", "Tartu", "Turin", "Utrecht", "Zadar"}

	goodCards     = []string{"tok_visa_4242", "tok_mastercard_4444", "tok_amex_8431", "tok_visa_1881"}
	declinedCards = []string{"tok_visa_0002", "tok_visa_9995", "tok_visa_0069"}
)

// Orders makes n orders, the same for the same seed, and the first ones the same
// whatever n is. About 8 % have a card that is declined, about 2 % an address that
// cannot be delivered to, and about 6 % want a limited edition, of which
// [InitialStock] has half. For about 10 % the carrier is down at first (see
// [Config.FlakyPercent]).
func Orders(n int, seed uint64) []Order {
	random := rand.New(rand.NewPCG(seed, 0))
	orders := make([]Order, 0, max(n, 0))
	for i := range n {
		orders = append(orders, makeOrder(random, i+1))
	}
	return orders
}

func makeOrder(random *rand.Rand, number int) Order {
	item := pick(random, catalogue)
	if random.IntN(100) < limitedPercent {
		item = pick(random, limitedEditions)
	}
	card := pick(random, goodCards)
	if random.IntN(100) < declinedPercent {
		card = pick(random, declinedCards)
	}
	address := fmt.Sprintf("%d %s, %s", 1+random.IntN(120), pick(random, streets), pick(random, cities))
	if random.IntN(100) < undeliverablePercent {
		address = fmt.Sprintf("PO Box %d, %s", 1+random.IntN(9000), pick(random, cities))
	}
	return Order{
		ID:             fmt.Sprintf("order-%06d", number),
		Customer:       pick(random, givenNames) + " " + pick(random, familyNames),
		SKU:            item.sku,
		Quantity:       1 + random.Int64N(4),
		UnitPriceCents: item.cents,
		Card:           card,
		Address:        address,
	}
}

func pick[T any](random *rand.Rand, from []T) T {
	return from[random.IntN(len(from))]
}

// InitialStock returns the stock that the shop opens with for these orders: of each
// sku as much as they want together, and half of it for a limited edition, whose
// sku ends in "-limited". It depends on the orders alone, so a restarted run
// computes the same.
func InitialStock(orders []Order) map[string]int64 {
	stock := make(map[string]int64)
	for _, o := range orders {
		stock[o.SKU] += o.Quantity
	}
	for sku, wanted := range stock {
		if strings.HasSuffix(sku, limitedSuffix) {
			stock[sku] = wanted / 2
		}
	}
	return stock
}

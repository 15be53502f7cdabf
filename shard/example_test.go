package shard_test

import (
	"fmt"
	"log"

	"github.com/jetsaga/jetsaga/shard"
)

func ExampleOf() {
	s := shard.Of("place-order", "o-1")
	fmt.Printf("saga.default.%s.place-order.o-1.cmd\n", s)
	// Output: saga.default.216.place-order.o-1.cmd
}

func ExampleRing() {
	ring, err := shard.NewRing([]string{"SAGA_default_0", "SAGA_default_1"}, 0)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ring.Owner(shard.Of("place-order", "o-1")))
	// Output: SAGA_default_0
}

func ExamplePlan() {
	before, err := shard.NewRing([]string{"a", "b"}, 0)
	if err != nil {
		log.Fatal(err)
	}
	after, err := shard.NewRing([]string{"a", "b", "c"}, 0)
	if err != nil {
		log.Fatal(err)
	}
	moves := shard.Plan(before, after)
	fmt.Println(len(moves), "of", shard.Count, "shards move; the first:", moves[0])
	// Output: 98 of 256 shards move; the first: {000 b c}
}

package shard

// Move is one shard's way from a member to another.
type Move struct {
	Shard    Shard
	From, To string
}

// Plan gives the moves that turn one ring into another, in the order of the shards. Between rings of the same members
// there are none.
func Plan(from, to *Ring) []Move {
	var moves []Move
	for i := range Count {
		s := Shard(i)
		if a, b := from.Owner(s), to.Owner(s); a != b {
			moves = append(moves, Move{s, a, b})
		}
	}
	return moves
}
